"""Points of a space: drawn at random, or all of a finite one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from api.sampling.terms import Point, from_optuna, to_distribution
from tuner.constraints import Constraint
from tuner.errors import InvalidInput
from tuner.handle import ParamValue
from tuner.space import Categorical, Parameter, Space

MAX_GRID = 50_000
DRAWS = 2000
NOTHING = "no point of the space was found that meets the constraints"


def feasible(space: Space, constraints: Sequence[Constraint], seed: int) -> Point:
    """Return a point drawn uniformly from those that meet the constraints.

    Raises:
        InvalidInput: none of many was.
    """
    rng = random.Random(seed)
    for _ in range(DRAWS):
        point = draw(space, rng)
        if all(c.holds(point) for c in constraints):
            return point
    raise InvalidInput(f"{NOTHING} in {DRAWS} draws")


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
