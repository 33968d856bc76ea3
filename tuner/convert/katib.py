"""A Katib Experiment (`kubeflow.org/v1beta1`), read into a study document.

https://www.kubeflow.org/docs/components/katib/user-guides/katib-config/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.convert.katib_parameters import parameter_of
from tuner.convert.katib_template import run_of
from tuner.convert.ranges import Names
from tuner.convert.source import Source, fault
from tuner.convert.wandb import metric_name, study_name
from tuner.errors import InvalidInput

_SAMPLERS = {
    "random": "random",
    "grid": "grid",
    "bayesianoptimization": "gp",
    "tpe": "tpe",
    "multivariate-tpe": "tpe",
    "cmaes": "cmaes",
    "sobol": "qmc",
    "hyperband": "random",
}
_ARCHITECTURES = ("enas", "darts")
_TRIALS = 50
_SPEC = ("spec",)


def read(source: Source) -> dict[str, Any]:
    """Return our document for an Experiment. Raises InvalidInput."""
    source.use("apiVersion")
    source.use("kind")
    if source.peek("spec", "nasConfig") is not None:
        raise InvalidInput("spec.nasConfig: the search for an architecture has no counterpart here")
    settings = _settings(source, ("spec", "algorithm", "algorithmSettings"))
    algorithm = source.text("spec", "algorithm", "algorithmName") or ""
    names, space = _space(source)
    document: dict[str, Any] = {"api_version": "v1"}
    name = study_name(source, source.text("metadata", "name"), ("metadata", "name"))
    if name:
        document["name"] = name
    budget = _budget(source)
    document |= {
        "objective": _objective(source),
        "space": space,
        "sampler": _sampler(source, algorithm, settings),
        "pruner": _pruner(source),
        "policies": [],
        "budget": budget,
    }
    if algorithm == "hyperband":
        _hyperband(source, document, settings, names)
    run, retries = run_of(source, names)
    document["run"] = run
    if retries is not None:
        document["retry"] = {"max": retries}
    for key, (path, _) in settings.items():
        source.leave((*path, "value"), f"the setting {key} has no counterpart")
    _elsewhere(source)
    return document


def _elsewhere(source: Source) -> None:
    source.leave(("metadata", "namespace"), "projects separate studies: see queue.project")
    source.leave(("metadata", "labels"), "queue.labels name what a worker must have")
    source.leave(("spec", "resumePolicy"), "a study that is over goes on after `tuner extend`")
    source.leave(("status",), "is the state of another service; results are not carried over")
    source.hint("policies is empty: add halve_on_plateau once the program applies lr_factor")


def _objective(source: Source) -> dict[str, Any]:
    at = ("spec", "objective")
    kind, metric = source.text(*at, "type"), source.text(*at, "objectiveMetricName")
    modes = {"minimize": "min", "maximize": "max"}
    if kind not in modes:
        raise fault((*at, "type"), f"should be minimize or maximize, not {str(kind)[:60]!r}")
    if not metric:
        raise fault((*at, "objectiveMetricName"), "is missing")
    source.leave((*at, "goal"), "a study does not end at a value; `tuner stop` ends it")
    # All metrics that are reported are stored.
    source.use(*at, "additionalMetricNames")
    found = {
        "metric": metric_name(source, metric, (*at, "objectiveMetricName")),
        "mode": modes[kind],
    }
    return found | _strategy(source, metric, modes[kind])


def _strategy(source: Source, metric: str, mode: str) -> dict[str, str]:
    at = ("spec", "objective", "metricStrategies")
    found: dict[str, str] = {}
    for i in range(len(source.items(*at))):
        name, value = source.text(*at, i, "name"), source.text(*at, i, "value")
        if name != metric:
            source.change(
                (*at, i), "only the objective has a value; other metrics are stored whole"
            )
        elif value == "latest":
            found["value"] = "last"
        elif value != mode:
            source.change((*at, i), f"{str(value)[:60]!r}: the best report is the value")
    return found


def _space(source: Source) -> tuple[dict[str, str], dict[str, Any]]:
    """Return Katib's names with ours, and the space."""
    names, taken, space = Names(source), {}, {}
    for i in range(len(source.items("spec", "parameters"))):
        path = ("spec", "parameters", i)
        foreign = source.text(*path, "name")
        if not foreign:
            raise fault((*path, "name"), "is missing")
        found = parameter_of(source, path)
        if found is not None:
            taken[foreign] = names.give(foreign, path)
            space[taken[foreign]] = found
    if not space:
        raise fault(("spec", "parameters"), "holds no parameter that can be carried over")
    return taken, space


Settings = dict[str, tuple[tuple[Any, ...], str]]
"""Settings of an algorithm: by name, where each stands, and its text."""


def _settings(source: Source, at: tuple[Any, ...]) -> Settings:
    found: Settings = {}
    for i in range(len(source.items(*at))):
        name, value = source.text(*at, i, "name"), source.peek(*at, i, "value")
        if name:
            found[name] = ((*at, i), str(value))
    return found


def _take(source: Source, settings: Settings, name: str) -> int | None:
    if name not in settings:
        return None
    path, _ = settings.pop(name)
    return source.whole(*path, "value")


def _sampler(source: Source, algorithm: str, settings: Settings) -> dict[str, Any]:
    at = ("spec", "algorithm", "algorithmName")
    if algorithm in _ARCHITECTURES:
        raise fault(at, f"{algorithm} searches for an architecture, which has no counterpart here")
    if algorithm not in _SAMPLERS:
        source.change(at, f"{algorithm[:60]!r} has no counterpart; tpe is taken")
    elif algorithm == "multivariate-tpe":
        source.change(at, "tpe looks at one parameter at a time here")
    found: dict[str, Any] = {"name": _SAMPLERS.get(algorithm, "tpe")}
    seed = _take(source, settings, "random_state")
    if seed is not None:
        found["seed"] = seed
    for key in ("n_startup_trials", "n_initial_points"):
        startup = _take(source, settings, key)
        if startup is not None:
            found["startup"] = startup
    return found


def _hyperband(
    source: Source, document: dict[str, Any], settings: Settings, names: Mapping[str, str]
) -> None:
    """Take hyperband's settings: the parameter that held the resource becomes `budget.steps`."""
    longest, eta = (_take(source, settings, key) for key in ("r_l", "eta"))
    document["pruner"] = {"name": "hyperband", "eta": eta or 3} | (
        {"max": longest} if longest else {}
    )
    path, resource = settings.pop("resource_name", ((), ""))
    if path:
        source.use(*path, "value")
    if longest:
        document["budget"]["steps"] = longest
    if resource in names and longest:
        document["space"][names[resource]] = {"value": longest}
        source.change(
            path, f"{resource} is fixed at {longest}; a trial is stopped at a rung, not restarted"
        )


def _pruner(source: Source) -> dict[str, Any]:
    at = ("spec", "earlyStopping")
    if not source.mapping(*at):
        return {"name": "none"}
    algorithm = source.text(*at, "algorithmName")
    settings = _settings(source, (*at, "algorithmSettings"))
    if algorithm != "medianstop":
        source.change(
            (*at, "algorithmName"), f"{str(algorithm)[:60]!r} is unknown; nothing is pruned"
        )
        return {"name": "none"}
    startup, warmup = (
        _take(source, settings, key) for key in ("min_trials_required", "start_step")
    )
    for key, (path, _) in settings.items():
        source.leave((*path, "value"), f"the setting {key} has no counterpart")
    return {
        "name": "median",
        "startup": 3 if startup is None else startup,
        "warmup": max(0, (4 if warmup is None else warmup) - 1),
    }


def _budget(source: Source) -> dict[str, Any]:
    counts = {
        "trials": source.whole(*_SPEC, "maxTrialCount"),
        "parallel": source.whole(*_SPEC, "parallelTrialCount"),
        "max_failures": source.whole(*_SPEC, "maxFailedTrialCount"),
    }
    if counts["trials"] is None:
        why = f"is missing: an Experiment goes on until its goal, this study for {_TRIALS} trials"
        source.change((*_SPEC, "maxTrialCount"), why)
        counts["trials"] = _TRIALS
    if counts["parallel"] is None:
        counts["parallel"] = 3
    if counts["max_failures"] == 0:
        source.change(
            (*_SPEC, "maxFailedTrialCount"), "is 1 here: the first failure ends the study"
        )
        counts["max_failures"] = 1
    return {key: value for key, value in counts.items() if value is not None}
