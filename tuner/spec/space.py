"""The document's `space` section, and how it becomes a search space."""

from __future__ import annotations

import math
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from tuner.handle import ParamValue
from tuner.space import Categorical, Numeric, Parameter, Space, default_space
from tuner.spec.base import Document
from tuner.text import Identifier

_LARGEST = 2**53
Bound = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
Choice = (
    StrictBool
    | StrictInt
    | Annotated[StrictFloat, Field(allow_inf_nan=False)]
    | Annotated[StrictStr, Field(max_length=200)]
)


class ParameterSpec(Document):
    """One parameter: an interval (`min`, `max`) or a list (`values`)."""

    min: Bound | None = None
    """Smallest value, included."""
    max: Bound | None = None
    """Largest value, included."""
    log: bool = False
    """Whether the logarithm is uniform."""
    step: Bound | None = None
    """Grid of the values, counted from `min`; it divides the range."""
    type: Literal["int", "float"] | None = None
    """Kind of numbers. `int` if both bounds are whole numbers, else `float`, if absent."""
    values: Annotated[list[Choice], Field(min_length=1, max_length=1000)] | None = None
    """The values to choose from."""
    value: Choice | None = None
    """One fixed value."""
    when: Annotated[dict[Identifier, Choice | list[Choice]], Field(max_length=10)] = Field(
        default_factory=dict
    )
    """Parameters this one depends on, with the value or values under which it exists."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        interval = self.min is not None or self.max is not None
        if interval + (self.values is not None) + (self.value is not None) != 1:
            raise ValueError("give either min and max, or values, or value")
        if interval:
            _check_interval(self)
        elif self.log or self.step is not None or self.type is not None:
            raise ValueError("log, step and type go with min and max")
        else:
            _check_distinct(self.values or [])
        return self

    def build(self) -> Parameter:
        """Return the parameter as a value of `tuner.space`."""
        when = {k: tuple(v) if isinstance(v, list) else (v,) for k, v in self.when.items()}
        if self.min is None or self.max is None:
            values = self.values if self.values is not None else [self.value]
            return Categorical(values=tuple(v for v in values if v is not None), when=when)
        return Numeric(
            integer=_is_integer(self), low=float(self.min), high=float(self.max), log=self.log,
            step=None if self.step is None else float(self.step), when=when,
        )  # fmt: skip


def _is_integer(spec: ParameterSpec) -> bool:
    if spec.type is not None:
        return spec.type == "int"
    return all(isinstance(x, int) for x in (spec.min, spec.max, spec.step) if x is not None)


def _check_interval(spec: ParameterSpec) -> None:
    if spec.min is None or spec.max is None:
        raise ValueError("min and max go together")
    if max(abs(spec.min), abs(spec.max)) > _LARGEST:
        raise ValueError("bounds lie within ±2**53")
    if spec.min >= spec.max:
        raise ValueError(f"min ({spec.min}) must be smaller than max ({spec.max})")
    if spec.log and spec.min <= 0:
        raise ValueError(f"a log range needs min > 0, not {spec.min}")
    if _is_integer(spec) and any(x != int(x) for x in (spec.min, spec.max)):
        raise ValueError("type int needs whole bounds")
    if spec.step is not None:
        _check_step(spec, spec.max - spec.min, spec.step)


def _check_step(spec: ParameterSpec, width: float, step: float) -> None:
    if spec.log:
        raise ValueError("step and log exclude each other")
    if step <= 0:
        raise ValueError(f"step must be positive, not {step}")
    if _is_integer(spec) and step != int(step):
        raise ValueError("type int needs a whole step")
    steps = width / step
    whole = round(steps) if math.isfinite(steps) else 0
    if not math.isclose(steps, whole, rel_tol=1e-9) or whole < 1:
        raise ValueError(f"step {step} does not divide the range of width {width:g}")


def _check_distinct(values: list[ParamValue]) -> None:
    seen: dict[object, ParamValue] = {}
    for value in values:
        if value in seen:
            raise ValueError(f"values {seen[value]!r} and {value!r} are the same")
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
            raise ValueError("whole numbers lie within ±2**53")
        seen[value] = value


def _check_conditions(space: dict[str, ParameterSpec]) -> dict[str, ParameterSpec]:
    for name, spec in space.items():
        for parent, wanted in spec.when.items():
            if parent not in space:
                raise ValueError(f"{name}: `when` names {parent!r}, which is not a parameter")
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if not space[parent].build().contains(value):
                    raise ValueError(
                        f"{name}: `when` waits for {parent}={value!r}, which never happens"
                    )
    try:
        TopologicalSorter({n: s.when for n, s in space.items()}).prepare()
    except CycleError as exc:
        raise ValueError(f"conditions form a circle: {' → '.join(exc.args[1])}") from exc
    return space


SpaceSpec = Annotated[
    dict[Identifier, ParameterSpec],
    Field(min_length=1, max_length=200),
    AfterValidator(_check_conditions),
]


def build_space(spec: SpaceSpec | None) -> Space:
    """Return the search space, parents before children; the default space if None."""
    if spec is None:
        return default_space()
    order = TopologicalSorter({n: list(s.when) for n, s in spec.items()})
    order.prepare()
    ready: list[str] = []
    while order.is_active():
        batch = sorted(order.get_ready(), key=list(spec).index)
        ready += batch
        order.done(*batch)
    return Space(parameters={name: spec[name].build() for name in ready})


def space_document(space: Space) -> dict[str, ParameterSpec]:
    """Return a space in the document's words; the inverse of `build_space`."""
    return {name: _spec_of(parameter) for name, parameter in space.parameters.items()}


def _spec_of(parameter: Parameter) -> ParameterSpec:
    when: dict[str, ParamValue | list[ParamValue]] = {k: list(v) for k, v in parameter.when.items()}
    if isinstance(parameter, Categorical):
        return ParameterSpec(values=list(parameter.values), when=when)
    number = int if parameter.integer else float
    return ParameterSpec(
        min=number(parameter.low), max=number(parameter.high), log=parameter.log,
        step=None if parameter.step is None else number(parameter.step), when=when,
    )  # fmt: skip
