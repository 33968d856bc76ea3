"""The search space and the trials in Optuna's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState as OptunaState

from tuner.decision import Outcome
from tuner.handle import ParamValue
from tuner.space import Categorical, Numeric, Parameter, Space
from tuner.trial import Origin, Report, Trial, TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)

Point = dict[str, ParamValue]
Distributions = Mapping[str, BaseDistribution]
_STATES = {
    Outcome.COMPLETE: OptunaState.COMPLETE,
    Outcome.CONVERGED: OptunaState.COMPLETE,
    Outcome.PRUNED: OptunaState.PRUNED,
    Outcome.DIVERGED: OptunaState.PRUNED,
}


class Result(NamedTuple):
    """What Optuna's samplers learn of a trial. The curve of a diverged one is empty."""

    state: OptunaState
    value: float | None = None
    curve: tuple[Report, ...] = ()


RUNNING = Result(OptunaState.RUNNING)


def result_of(trial: Trial) -> Result:
    """Return a trial's result. A waiting trial is as good as running: its result will come.

    A control of halving is none of the search's: a failed trial teaches nothing.
    """
    if trial.origin is Origin.CONTROL:
        return Result(OptunaState.FAIL)
    if trial.state is not TrialState.ENDED or trial.outcome is None:
        return RUNNING
    state = _STATES.get(trial.outcome, OptunaState.FAIL)
    if state is OptunaState.COMPLETE:
        state = OptunaState.FAIL if trial.value is None else state
        return Result(state, trial.value, trial.reports)
    return Result(state, None, () if trial.outcome is Outcome.DIVERGED else trial.reports)


def to_distribution(parameter: Parameter) -> BaseDistribution:
    """Return a parameter as Optuna's distribution.

    A stepped interval of real numbers becomes the index of its grid: Optuna's own shrinks when
    rounding keeps the step from dividing the range.
    """
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(parameter.values)
    if parameter.integer:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, step)
    if parameter.step is not None:
        return IntDistribution(0, round((parameter.high - parameter.low) / parameter.step))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def to_optuna(parameter: Parameter, value: ParamValue) -> ParamValue:
    """Return a value in the terms of `to_distribution`."""
    if _is_indexed(parameter):
        return round((float(value) - parameter.low) / float(parameter.step or 1))
    return value


def varying(space: Space) -> dict[str, BaseDistribution]:
    """Return the distributions of the parameters that every trial has and that have a choice."""
    found = {n: to_distribution(p) for n, p in space.parameters.items() if not p.when}
    return {n: d for n, d in found.items() if not d.single()}


def from_optuna(parameter: Parameter, value: Any) -> ParamValue:
    """Return the value behind one in the terms of `to_distribution`."""
    if _is_indexed(parameter):
        return parameter.nearest(parameter.low + int(value) * float(parameter.step or 1))
    return parameter.nearest(value)


def _is_indexed(parameter: Parameter) -> TypeGuard[Numeric]:
    return isinstance(parameter, Numeric) and not parameter.integer and parameter.step is not None
