"""The search space: parameters, the conditions under which they exist, and constraints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tuner.handle import ParamValue

Params = Mapping[str, ParamValue]
When = Mapping[str, tuple[ParamValue, ...]]


def _nearest_step(value: float, low: float, step: float) -> float:
    return low + round((value - low) / step) * step


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """An interval of real or whole numbers, both bounds included.

    Args:
        integer: whether values are whole.
        low, high: bounds, in the parameter's own unit (never logarithms).
        log: whether the logarithm is uniform. Needs `low > 0` and no `step`.
        step: grid of the values, counted from `low`; it divides the range.
        when: parameters this one depends on, each with the values under which it exists.
    """

    integer: bool
    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When = field(default_factory=dict)

    def contains(self, value: ParamValue) -> bool:
        """Tell whether `value` may be used."""
        if isinstance(value, bool | str) or (self.integer and value != int(value)):
            return False
        return math.isfinite(value) and self.low <= value <= self.high

    def nearest(self, value: ParamValue) -> ParamValue:
        """Move a number into the interval and onto its grid."""
        x = min(max(float(value), self.low), self.high)
        if self.step is not None:
            x = min(_nearest_step(x, self.low, self.step), self.high)
        return round(x) if self.integer else x


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """A list of values without an order."""

    values: tuple[ParamValue, ...]
    when: When = field(default_factory=dict)

    def contains(self, value: ParamValue) -> bool:
        """Tell whether `value` is one of the values, of the same type."""
        return any(v == value and type(v) is type(value) for v in self.values)

    def nearest(self, value: ParamValue) -> ParamValue:
        """Return the value if listed, else the nearest number (by ratio if > 0), or the first."""
        if self.contains(value):
            return value
        numbers = [v for v in self.values if not isinstance(v, bool | str)]
        if isinstance(value, bool | str) or not numbers:
            return self.values[0]
        if value > 0 and min(numbers) > 0:
            return min(numbers, key=lambda v: abs(math.log(v / value)))
        return min(numbers, key=lambda v: abs(v - value))


Parameter = Numeric | Categorical


@dataclass(frozen=True, kw_only=True)
class Space:
    """Named parameters in an order in which each follows those its condition names."""

    parameters: Mapping[str, Parameter]

    def active(self, chosen: Params) -> Iterable[str]:
        """Yield the names whose conditions hold under `chosen`, in order.

        `chosen` may grow between the items, so that a caller can draw value by value.
        """
        for name, parameter in self.parameters.items():
            if all(chosen.get(k) in values for k, values in parameter.when.items()):
                yield name

    def faults(self, params: Params) -> list[str]:
        """Say in sentences what keeps `params` from being a point of this space."""
        active = list(self.active(params))
        found = [f"{name} is missing" for name in active if name not in params]
        found += [
            f"{name} is not a parameter of this study, or its condition does not hold"
            for name in params
            if name not in active
        ]
        found += [
            f"{name}={params[name]!r} lies outside its range"
            for name in active
            if name in params and not self.parameters[name].contains(params[name])
        ]
        return found

    def nearest(self, wish: Params) -> dict[str, ParamValue]:
        """Move `wish` into the space; what it does not name gets its middle or first value."""
        point: dict[str, ParamValue] = {}
        for name in self.active(point):
            parameter = self.parameters[name]
            point[name] = parameter.nearest(wish.get(name, middle(parameter)))
        return point


def middle(parameter: Parameter) -> ParamValue:
    """Return the centre of an interval (geometric if log) or the first categorical value."""
    if isinstance(parameter, Categorical):
        return parameter.values[0]
    if parameter.log:
        return parameter.nearest(math.sqrt(parameter.low * parameter.high))
    return parameter.nearest((parameter.low + parameter.high) / 2)


def default_space() -> Space:
    """Return learning rate, batch size, init scale, dropout and gradient-norm clip."""
    return Space(
        parameters={
            "lr": Numeric(integer=False, low=1e-4, high=1.0, log=True),
            "batch_size": Categorical(values=(16, 32, 64, 128, 256)),
            "init_scale": Numeric(integer=False, low=0.03, high=3.0, log=True),
            "dropout": Numeric(integer=False, low=0.0, high=0.7),
            "clip_norm": Numeric(integer=False, low=0.5, high=20.0, log=True),
        }
    )
