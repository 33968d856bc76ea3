"""What a study asks of a built-in task, by its recipe and its space: faults, and doubts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tuner.errors import Fault
from tuner.handle import ParamValue
from tuner.space import Categorical, Parameter
from tuner.spec import RunTask, StudySpec
from tuner.text import unknown
from tuner.train.catalog import TASKS, TaskInfo
from tuner.train.fits import clashes, misfit
from tuner.train.presets import spread
from tuner.train.recipe import KNOWN_FIELDS, KNOWN_PARAMS, Recipe, refusal

Choices = Mapping[str, Collection[Any]]
"""Fields with all values that each may take in a study."""


def fixed(spec: StudySpec) -> dict[str, Any]:
    """Return what a study's recipe fixes, `preset` included."""
    recipe = spec.run.recipe if isinstance(spec.run, RunTask) else None
    return {} if recipe is None else recipe.model_dump(exclude_none=True)


def probes(parameter: Parameter) -> tuple[ParamValue, ...]:
    """Return all values of a list; of an interval both ends and one between."""
    if isinstance(parameter, Categorical):
        return parameter.values
    low, high = parameter.low, parameter.high
    further = (high - low) / math.pi if parameter.step is None else parameter.step
    return (low, high, parameter.nearest(low + further))


def faults(spec: StudySpec, info: TaskInfo) -> Iterator[Fault]:
    """Yield what the task can't do of what the study asks, and what makes no sense together."""
    given = fixed(spec)
    yield from _space_faults(spec, info)
    choices = _usable(spec)
    where = {name: f"run.recipe.{name}" if name in given else f"space.{name}" for name in choices}
    for name, values in choices.items():
        if why := next(filter(None, (misfit(info, name, v) for v in values)), None):
            yield Fault(where=where[name], message=why)
    for fault in clashes(info, choices, in_force(spec, info)):
        yield Fault(where=where[fault.where], message=fault.message)


def doubts(spec: StudySpec, steps: int) -> Iterator[str]:
    """Yield sentences on what is allowed and hardly meant, in a training of so many steps."""
    choices = _usable(spec)
    if min(choices.get("warmup", (0,))) >= steps:
        yield f"recipe.warmup lasts the whole training of {steps} steps: the rate never gets to lr"
    if min(choices.get("cycle", (1,))) >= steps:
        yield f"recipe.cycle lasts the whole training of {steps} steps: nothing restarts"


def in_force(spec: StudySpec, info: TaskInfo) -> Choices:
    """Return all fields with the values they may have: the study's, its preset's, the task's."""
    preset = {name: value for name, value in fixed(spec).items() if name == "preset"}
    whole = Recipe.from_params({}, info.defaults, spread(info, preset))
    return {**{name: (value,) for name, value in vars(whole).items()}, **_usable(spec)}


def optimizer_of(spec: StudySpec) -> str | None:
    """Return the update rule that a task's study does not search, None if it does."""
    info = _info(spec)
    if info is None or "optimizer" in spec.build_space().parameters:
        return None
    (found,) = in_force(spec, info)["optimizer"]
    return str(found)


def own_choice(spec: StudySpec) -> Mapping[str, ParamValue] | None:
    """Return what a task's trial would be if its study searched nothing.

    None where the study's update rules are others: the task's rate is not for them.
    """
    info = _info(spec)
    if info is None:
        return None
    preset = {name: value for name, value in fixed(spec).items() if name == "preset"}
    recipe = Recipe.from_params({}, info.defaults, spread(info, preset))
    if recipe.optimizer not in in_force(spec, info)["optimizer"]:
        return None
    told = {
        "momentum": recipe.decay_of_average, "beta2": recipe.decay_of_square,
        "eps": recipe.epsilon, "width": info.width, "depth": info.depth,
    }  # fmt: skip
    whole = {**told, **{name: x for name, x in vars(recipe).items() if x is not None}}
    return {name: value for name, value in whole.items() if isinstance(value, ParamValue)}


def _info(spec: StudySpec) -> TaskInfo | None:
    return TASKS.get(spec.run.task) if isinstance(spec.run, RunTask) else None


def _space_faults(spec: StudySpec, info: TaskInfo) -> Iterator[Fault]:
    given = fixed(spec)
    for name, parameter in spec.build_space().parameters.items():
        where = f"space.{name}"
        if name in given:
            message = f"{name} stands both in run.recipe and in space: leave one of them out"
            yield Fault(where=where, message=message)
        elif name in KNOWN_FIELDS and name not in KNOWN_PARAMS:
            message = "can't be searched: give it a value in run.recipe"
            yield Fault(where=f"run.recipe.{name}", message=message)
        elif name not in KNOWN_PARAMS:
            message = f"{info.name}: {unknown('parameter', name, KNOWN_PARAMS)}"
            yield Fault(where=where, message=message)
        elif found := _refused(name, probes(parameter)):
            many = "" if len(probes(parameter)) == 1 else "each value "
            yield Fault(where=where, message=f"{info.name}: {many}{found}")


def _refused(name: str, values: Collection[ParamValue]) -> str | None:
    return next(filter(None, (refusal(name, value) for value in values)), None)


def _usable(spec: StudySpec) -> dict[str, Collection[Any]]:
    """Return the choices of a study, less the values that no recipe may have."""
    found: dict[str, Collection[Any]] = {
        name: (value,) for name, value in fixed(spec).items() if name in KNOWN_FIELDS
    }
    for name, parameter in spec.build_space().parameters.items():
        if name in KNOWN_PARAMS and _refused(name, probes(parameter)) is None:
            found[name] = probes(parameter)
    return found
