"""A W&B sweep configuration, read into a study document.

https://docs.wandb.ai/guides/sweeps/sweep-config-keys
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tuner.convert.ranges import Names
from tuner.convert.source import Source, fault
from tuner.convert.wandb_command import command_of
from tuner.convert.wandb_parameters import parameter_of

_SAMPLERS = {"bayes": "gp", "random": "random", "grid": "grid"}
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,99}")
_TRIALS = 50
_MOST_RUNGS = 50
_MOST_TRIALS = 1_000_000
_ELSEWHERE = {
    "entity": "projects and tokens say who may do what; see docs/security.md",
    "controller": "the server is the controller",
    "job": "workers start commands and entrypoints, no W&B jobs",
    "image_uri": "start workers in that image",
    "resource": "say what a worker must have by queue.labels",
    "preemptible": "every trial may be preempted; it goes on from its last checkpoint",
}


class Parameter(NamedTuple):
    """A parameter: its name in the sweep, ours, and its range."""

    foreign: str
    name: str
    range: dict[str, Any]


def read(source: Source) -> dict[str, Any]:
    """Return our document for a sweep. Raises InvalidInput."""
    parameters = list(_parameters(source))
    if not parameters:
        raise fault(("parameters",), "holds no parameter that can be carried over")
    space = {one.name: one.range for one in parameters}
    document: dict[str, Any] = {"api_version": "v1"}
    name = study_name(source, source.text("name"), ("name",))
    if name:
        document["name"] = name
    document |= {
        "objective": _objective(source),
        "space": space,
        "sampler": {"name": _sampler(source)},
        "pruner": _pruner(source),
        "policies": [],
        "budget": {"trials": _trials(source, space)},
        "run": command_of(source, [(one.foreign, one.name) for one in parameters]),
    }
    project = source.text("project")
    if project:
        document["queue"] = {"project": label(source, project, ("project",))}
    description = source.text("description")
    if description:
        source.hint(f"its description was: {description.strip()[:500]}")
    if document["run"] == "external":
        source.hint("it names no program: take its trials with tuner.Client().ask in your own loop")
    else:
        source.hint(
            "wandb.log reports nothing here: call tuner.current_trial().report(step, value), or "
            "declare by run.report which printed lines are reports"
        )
    source.hint("policies is empty: add halve_on_plateau once the script applies lr_factor")
    for key, why in _ELSEWHERE.items():
        source.leave((key,), why)
    return document


def study_name(source: Source, name: str | None, path: tuple[str, ...]) -> str | None:
    """Return a study's name as ours may be: no slash, not of digits only."""
    if not name:
        return None
    found = label(source, name.replace("/", "-"), path)
    if found.isdecimal():
        found = f"study-{found}"
    if found in (".", ".."):
        found = "study"
    if found != name:
        source.change(path, f"is {found!r} here")
    return found


def label(source: Source, text: str, path: tuple[str, ...]) -> str:
    """Return a text as a name of ours may be: printable, at most 100 characters."""
    found = "".join(c if c.isprintable() else " " for c in text).strip()[:100].strip() or "default"
    if found != text and path[-1] != "name":
        source.change(path, f"is {found!r} here")
    return "".join(c for c in found if c.isascii() or c.isalnum()) or "default"


def metric_name(source: Source, name: str, path: tuple[str, ...]) -> str:
    """Return a metric's name as ours may be."""
    if _METRIC.fullmatch(name):
        return name
    found = re.sub(r"[^A-Za-z0-9_./-]+", "_", name)[:99]
    found = found if _METRIC.fullmatch(found) else f"_{found}"
    source.change(path, f"is called {found} here: report it so")
    return found


def _objective(source: Source) -> dict[str, Any]:
    source.mapping("metric")
    name, goal = source.text("metric", "name"), source.text("metric", "goal")
    if name is None:
        name = "loss"
        source.change(("metric",), "is not named; `loss` is assumed")
    modes = {"minimize": "min", "maximize": "max", "minimum": "min", "maximum": "max"}
    if goal is not None and goal.lower() not in modes:
        raise fault(("metric", "goal"), f"should be minimize or maximize, not {goal[:60]!r}")
    source.leave(("metric", "target"), "a study does not end at a value; `tuner stop` ends it")
    mode = modes[goal.lower()] if goal else "min"
    return {"metric": metric_name(source, name, ("metric", "name")), "mode": mode}


def _sampler(source: Source) -> str:
    method = source.text("method")
    if method is None:
        source.change(("method",), "is missing; tpe is taken")
        return "tpe"
    if method not in _SAMPLERS:
        source.change(("method",), f"{method[:60]!r} is unknown; tpe is taken")
        return "tpe"
    return _SAMPLERS[method]


def _pruner(source: Source) -> dict[str, Any]:
    at = ("early_terminate",)
    if not source.mapping(*at):
        return {"name": "none"}
    kind = source.text(*at, "type")
    if kind != "hyperband":
        source.leave(at, f"{str(kind)[:60]!r} is unknown")
        return {"name": "none"}
    eta = _eta(source)
    source.leave((*at, "strict"), "a trial is judged at each rung, once, in every case")
    found: dict[str, Any] = {"name": "asha", "eta": eta}
    first, longest, count = (source.whole(*at, key) for key in ("min_iter", "max_iter", "s"))
    if count is not None and not 1 <= count <= _MOST_RUNGS:
        raise fault((*at, "s"), f"should lie from 1 to {_MOST_RUNGS}, not {count}")
    if longest is not None:
        found["min"] = first or max(1, round(longest / eta ** (count or 2)))
        found["max"] = longest
    elif first is not None:
        found["min"], found["max"] = first, first * eta**4
        source.change(
            (*at, "min_iter"), f"its rungs have no end; the last one here is {found['max']}"
        )
    else:
        raise fault(at, "names neither min_iter nor max_iter")
    if found["min"] < 1 or found["min"] > found["max"]:
        raise fault(at, f"its first rung ({found['min']}) does not lie from 1 to {found['max']}")
    source.hint("a W&B iteration is a call of wandb.log; here it is a step: report once a step")
    return found


def _eta(source: Source) -> int:
    path = ("early_terminate", "eta")
    given = source.number(*path)
    if given is None:
        return 3
    eta = max(2, min(1000, round(given)))
    if eta != given:
        source.change(path, f"is {eta} here: a whole number from 2 to 1000")
    return eta


def _trials(source: Source, space: Mapping[str, dict[str, Any]]) -> int:
    cap = source.whole("run_cap")
    if cap is not None:
        if not 1 <= cap <= _MOST_TRIALS:
            raise fault(("run_cap",), f"should lie from 1 to {_MOST_TRIALS}, not {cap}")
        return cap
    points = _points(space.values()) if source.peek("method") == "grid" else None
    if points is not None and points <= _MOST_TRIALS:
        return points
    source.change(
        ("run_cap",), f"is missing: a sweep goes on until stopped, this study for {_TRIALS} trials"
    )
    return _TRIALS


def _points(ranges: Any) -> int | None:
    """Return how many points a grid has, None if it has no end."""
    count = 1
    for one in ranges:
        size = _size(one)
        if size is None:
            return None
        count *= size
    return count


def _size(one: Mapping[str, Any]) -> int | None:
    if "values" in one:
        return len(one["values"])
    if "value" in one:
        return 1
    step = one.get("step") or (1 if isinstance(one["min"], int) else None)
    steps = math.inf if step is None else (one["max"] - one["min"]) / step
    return math.floor(steps + 1e-9) + 1 if math.isfinite(steps) else None


def _parameters(source: Source) -> Iterator[Parameter]:
    names = Names(source)
    for path, foreign in _leaves(source, ("parameters",)):
        found = parameter_of(source, path)
        if found is not None:
            flat = "_".join(foreign)
            if len(foreign) > 1:
                source.change(path, f"stands in groups, which a space has none of: it is {flat}")
            yield Parameter(".".join(foreign), names.give(flat, path), found)


def _leaves(
    source: Source, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Sequence[str]]]:
    """Yield each parameter's path, and its names from the outermost group inwards."""
    for name in source.mapping(*path):
        here = (*path, name)
        inner = source.mapping(*here)
        if isinstance(inner.get("parameters"), dict):
            yield from _leaves(source, (*here, "parameters"))
        else:
            yield here, [part for part in here[1:] if part != "parameters"]
