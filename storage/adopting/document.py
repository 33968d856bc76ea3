"""A source in our words: the study document by which it goes on, and what to say about it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from storage.adopting.source import Source
from storage.adopting.space import fixed_params, infer, new_names
from tuner.errors import Fault, InvalidInput

FURTHER = 50
"""Trials that an adopted study may run beside those it comes with."""
_MOST_FAILURES = 5
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a source is taken over.

    Args:
        document: the study document.
        names: for each parameter of the source its name here.
        counts: trials by Optuna's state, in lower case.
        notes: what becomes something else, in sentences.
    """

    source: Source
    document: Mapping[str, Any]
    names: Mapping[str, str]
    counts: Mapping[str, int]
    notes: Sequence[str]


def plan(source: Source, name: str, given: Mapping[str, Any] | None = None) -> Plan:
    """Infer the study document; what `given` says counts, section by section.

    Raises:
        InvalidInput: the source holds what a study here can't.
    """
    given = given or {}
    trials = source.trials
    names = new_names(trials)
    found = infer(trials, names)
    if not names and "space" not in given:
        message = "no trial has a parameter yet: give the space by --document FILE"
        found.faults.append(Fault(where="space", message=message))
    if found.faults:
        first = found.faults[0]
        raise InvalidInput(f"{first.where}: {first.message}", found.faults)
    counts = Counter(t.state.name.lower() for t in trials)
    inferred: dict[str, Any] = {
        "api_version": "v1",
        "name": name,
        "objective": _objective(source),
        "space": found.space,
        "pruner": {"name": "median" if counts["pruned"] else "none"},
        "policies": [{"name": "divergence"}],
        "budget": {"trials": len(trials) + FURTHER, **_steps(trials)},
        "run": "external",
    }
    document = _merged(inferred, given) | {"name": name}
    _raise_failures(document, counts["fail"])
    return Plan(
        source=source, document=document, names=names, counts=dict(counts),
        notes=(*_renamed(names), *found.notes, *_state_notes(trials, names)),
    )  # fmt: skip


def _merged(inferred: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(inferred)
    for section, value in given.items():
        before = inferred.get(section)
        mixes = isinstance(before, dict) and isinstance(value, Mapping) and section != "pruner"
        merged[section] = {**before, **value} if mixes and before is not None else value
    return merged


def _raise_failures(document: dict[str, Any], failed: int) -> None:
    """Let the trials that failed before leave the study all its own failures."""
    budget = document["budget"]
    if not isinstance(budget, dict):
        return
    allowed = budget.get("max_failures", _MOST_FAILURES)
    if failed and isinstance(allowed, int):
        document["budget"] = {**budget, "max_failures": allowed + failed}


def _objective(source: Source) -> dict[str, Any]:
    metric = source.metric or "value"
    if not _METRIC.fullmatch(metric):
        metric = re.sub(r"[^A-Za-z0-9_./-]+", "_", metric)[:99]
        metric = metric if _METRIC.fullmatch(metric) else f"_{metric}"
    return {"metric": metric, "mode": source.mode, "value": _which(source)}


def _which(source: Source) -> str:
    """Tell whether the trials' values were their last reports rather than their best."""
    chosen = min if source.mode == "min" else max
    measured = [
        (t.values[0], [v for _, v in sorted(t.intermediate_values.items()) if math.isfinite(v)])
        for t in source.trials
        if t.state is TrialState.COMPLETE and t.values
    ]
    curves = [(value, curve) for value, curve in measured if curve]
    last = all(value == curve[-1] for value, curve in curves)
    best = all(value == chosen(curve) for value, curve in curves)
    return "last" if last and not best else "best"


def _steps(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """Return the length of the curves, if all complete trials trained equally long."""
    curves = [t.intermediate_values for t in trials if t.state is TrialState.COMPLETE]
    last = {max(curve, default=-1) for curve in curves}
    if len(last) != 1 or -1 in last:
        return {}
    from_zero = any(0 in t.intermediate_values for t in trials)
    return {"steps": steps} if (steps := last.pop() + from_zero) >= 1 else {}


def _renamed(names: Mapping[str, str]) -> list[str]:
    return [f"{old!r} is called {new} here" for old, new in names.items() if old != new]


def _state_notes(trials: Sequence[FrozenTrial], names: Mapping[str, str]) -> list[str]:
    running = sum(t.state is TrialState.RUNNING for t in trials)
    waiting = [t for t in trials if t.state is TrialState.WAITING]
    fixed = [fixed_params(t) for t in waiting]
    infinite = sum(
        t.state is TrialState.COMPLETE and not math.isfinite((t.values or [0.0])[0]) for t in trials
    )
    unknown = sorted({key for params in fixed for key in params if key not in names})
    notes = [
        (running, f"{_count(running)} still running there: adopted as cancelled"),
        (infinite, f"{_count(infinite)} complete with an infinite value: adopted as diverged"),
        (
            sum(map(bool, fixed)),
            f"{_count(sum(map(bool, fixed)))} enqueued there: enqueued here; "
            "parameters they leave open take their middle",
        ),
        (
            len(waiting) - sum(map(bool, fixed)),
            f"{_count(len(waiting) - sum(map(bool, fixed)))} waiting without parameters: "
            "adopted as cancelled",
        ),
        (
            len(unknown),
            f"enqueued trials name {', '.join(unknown)}, which no trial ever had: left out",
        ),
    ]
    return [text for n, text in notes if n]


def _count(n: int) -> str:
    return "1 trial is" if n == 1 else f"{n} trials are"
