"""Optuna's samplers, made for one proposal each, and the search space in Optuna's terms."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from tuner.errors import InvalidInput
from tuner.handle import ParamValue
from tuner.space import Categorical, Numeric, Parameter, Space
from tuner.spec import Sampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

MAX_GRID = 50_000
DRAWS = 2000
QMC_ID = "tuner:qmc"
Distributions = Mapping[str, BaseDistribution]


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


def from_optuna(parameter: Parameter, value: Any) -> ParamValue:
    """Return the value behind one in the terms of `to_distribution`."""
    if _is_indexed(parameter):
        return parameter.nearest(parameter.low + int(value) * float(parameter.step or 1))
    return parameter.nearest(value)


def _is_indexed(parameter: Parameter) -> TypeGuard[Numeric]:
    return isinstance(parameter, Numeric) and not parameter.integer and parameter.step is not None


class _Told:
    """A sampler that is told the parameters every trial has, instead of searching the history."""

    def __init__(self, always: Distributions, **options: Any) -> None:
        super().__init__(**options)
        self._always = always

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._always)


class _Tpe(_Told, TPESampler):
    """TPE, told."""


class _Gp(_Told, GPSampler):
    """The Gaussian process, told."""


class _CmaEs(_Told, CmaEsSampler):
    """CMA-ES, told; categorical parameters are drawn at random."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {k: d for k, d in self._always.items() if not isinstance(d, CategoricalDistribution)}


class _Qmc(_Told, QMCSampler):
    """A scrambled Sobol sequence whose position is kept at the trials that took it."""

    def __init__(self, always: Distributions, skip: int, **options: Any) -> None:
        # The class warns that it is experimental; catching warnings is not safe in threads.
        inspect.unwrap(QMCSampler.__init__)(self, **options)
        self._always = always
        self._skip = skip

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        past = study._storage.get_all_trials(study._study_id, deepcopy=False)
        taken = (t.system_attrs.get(QMC_ID, -1) for t in past)
        self._position = 1 + max(taken, default=-1) + self._skip
        study._storage.set_trial_system_attr(trial._trial_id, QMC_ID, self._position)
        super().before_trial(study, trial)

    def _find_sample_id(self, study: optuna.Study, search_space: Distributions) -> int:
        return self._position


def make(spec: Sampler, always: Distributions, seed: int, skip: int = 0) -> BaseSampler:
    """Return Optuna's sampler for one proposal.

    Args:
        spec: which one; not grid.
        always: the parameters that every trial has and that have a choice.
        seed: seed of this proposal alone.
        skip: proposals made for the same trial before, all refused.
    """
    startup = {} if spec.startup is None else {"n_startup_trials": spec.startup}
    match spec.name:
        case "tpe":
            return _Tpe(always, seed=seed, **startup)
        case "gp":
            return _Gp(always, seed=seed, warn_independent_sampling=False, **startup)
        case "cmaes":
            return _CmaEs(always, seed=seed, warn_independent_sampling=False, **startup)
        case "qmc":
            return _Qmc(
                always,
                skip,
                scramble=True,
                seed=spec.seed,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
        case _:
            return RandomSampler(seed=seed)


def draw(space: Space, rng: random.Random) -> dict[str, ParamValue]:
    """Return a point drawn uniformly, each log parameter in its logarithm."""
    point: dict[str, ParamValue] = {}
    for name in space.active(point):
        parameter = space.parameters[name]
        point[name] = from_optuna(parameter, _uniform(to_distribution(parameter), rng))
    return point


def _uniform(distribution: BaseDistribution, rng: random.Random) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        return low * (high / low) ** rng.random()
    if isinstance(distribution, IntDistribution):
        return rng.randrange(distribution.low, distribution.high + 1, distribution.step)
    return rng.uniform(low, high)


def grid(space: Space) -> Iterator[dict[str, ParamValue]]:
    """Yield every point of a finite space once.

    Raises:
        InvalidInput: a parameter has infinitely many values.
    """
    values = {n: _values(n, p) for n, p in space.parameters.items()}
    return _extend({}, list(space.parameters), space, values)


def _extend(
    point: dict[str, ParamValue],
    names: list[str],
    space: Space,
    values: Mapping[str, list[ParamValue]],
) -> Iterator[dict[str, ParamValue]]:
    if not names:
        yield point
        return
    name, rest = names[0], names[1:]
    when = space.parameters[name].when
    if not all(point.get(k) in wanted for k, wanted in when.items()):
        yield from _extend(point, rest, space, values)
        return
    for value in values[name]:
        yield from _extend({**point, name: value}, rest, space, values)


def _values(name: str, parameter: Parameter) -> list[ParamValue]:
    if isinstance(parameter, Categorical):
        return list(parameter.values)
    if not parameter.integer and parameter.step is None:
        raise InvalidInput(f"the grid sampler needs {name} to have a step or a list of values")
    step = parameter.step or 1.0
    count = round((parameter.high - parameter.low) / step) + 1
    if count > MAX_GRID:
        raise InvalidInput(f"the grid sampler takes at most {MAX_GRID} points; {name} has {count}")
    return [parameter.nearest(parameter.low + i * step) for i in range(count)]
