"""Uniform draws, value for value those of Optuna's `RandomSampler`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from api.sampling.terms import Point, from_optuna, to_distribution
from tuner.handle import ParamValue
from tuner.space import Space

Draw = Callable[[np.random.RandomState], Any]


class Uniform:
    """Draws points of a space. Optuna's own spends most of its time on building transforms."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._draws = {n: _draw_of(to_distribution(p)) for n, p in space.parameters.items()}

    def complete(self, given: Mapping[str, ParamValue], rng: np.random.RandomState) -> Point:
        """Return a point with the `given` values and all others drawn."""
        point: Point = {}
        for name in self._space.active(point):
            if name in given:
                point[name] = given[name]
            else:
                parameter = self._space.parameters[name]
                point[name] = from_optuna(parameter, self._draws[name](rng))
        return point


def _draw_of(distribution: BaseDistribution) -> Draw:
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        if len(choices) == 1:
            return lambda rng: choices[0]
        return lambda rng: choices[int(rng.random_sample(len(choices)).argmax())]
    if isinstance(distribution, IntDistribution):
        return _whole(distribution)
    assert isinstance(distribution, FloatDistribution)
    return _real(distribution)


def _real(of: FloatDistribution) -> Draw:
    """As `optuna._transform`, which keeps below the upper bound."""
    if of.single():
        return lambda rng: of.low
    last = math.nextafter(of.high, of.high - 1)
    low, high = (math.log(of.low), math.log(of.high)) if of.log else (of.low, of.high)
    width = high - low
    if of.log:
        return lambda rng: min(max(math.exp(low + width * rng.random_sample()), of.low), last)
    return lambda rng: min(low + width * rng.random_sample(), last)


def _whole(of: IntDistribution) -> Draw:
    """As `optuna._transform`: each value gets a cell of the same width."""
    if of.single():
        return lambda rng: of.low
    low, high = of.low - 0.5 * of.step, of.high + 0.5 * of.step
    if of.log:
        low, high = math.log(low), math.log(high)
    width = high - low

    def draw(rng: np.random.RandomState) -> int:
        x = low + width * rng.random_sample()
        if of.log:
            value = round(math.exp(x))
        else:
            value = math.floor((x - of.low) / of.step + 0.5) * of.step + of.low
        return min(max(value, of.low), of.high)

    return draw
