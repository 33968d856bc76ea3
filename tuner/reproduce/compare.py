"""Two curves of the same trial, step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tuner.reproduce.recorded import Reported


class Point(NamedTuple):
    """A step of both curves. None where a curve has no such step."""

    step: int
    recorded: float | None
    here: float | None

    @property
    def equal(self) -> bool:
        """Whether both are the same to the last bit; not-a-number equals itself."""
        if self.recorded is None or self.here is None:
            return False
        return self.recorded == self.here or (math.isnan(self.recorded) and math.isnan(self.here))

    @property
    def distance(self) -> float:
        """The difference, relative to the larger one; infinite where it can't be told."""
        if self.equal:
            return 0.0
        if self.recorded is None or self.here is None:
            return math.inf
        size = max(abs(self.recorded), abs(self.here))
        gap = abs(self.recorded - self.here)
        return gap / size if math.isfinite(gap) else math.inf


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both curves, and the tolerance they were compared with."""

    points: tuple[Point, ...]
    tolerance: float

    @property
    def first(self) -> Point | None:
        """The first step where they differ by more than the tolerance."""
        return next((one for one in self.points if not one.distance <= self.tolerance), None)

    @property
    def reproduced(self) -> bool:
        """Whether the curves are equal within the tolerance, and there is one."""
        return bool(self.points) and self.first is None

    @property
    def verdict(self) -> str:
        """Say in a sentence how the curves compare."""
        if not self.points:
            return "there is nothing to compare: neither reported anything"
        steps = f"{len(self.points)} step{'s' if len(self.points) > 1 else ''}"
        if all(one.equal for one in self.points):
            return f"reproduced: all {steps} equal to the last bit"
        if self.first is None:
            worst = max(self.points, key=lambda one: one.distance)
            return (
                f"reproduced within {self.tolerance:g}: the largest relative difference in {steps} "
                f"is {worst.distance:.2g}, at step {worst.step}"
            )
        return f"not reproduced: differs from step {self.first.step} on ({_both(self.first)})"


def _both(point: Point) -> str:
    told = (("recorded", point.recorded), ("here", point.here))
    return ", ".join(f"{who} {'nothing' if x is None else repr(x)}" for who, x in told)


def compare(
    recorded: Sequence[Reported], here: Sequence[tuple[int, float]], *, tolerance: float
) -> Comparison:
    """Compare a recorded curve with a new one, which is given as steps and values.

    Args:
        recorded: the curve as it was.
        here: the new one.
        tolerance: largest relative difference that counts as equal.
    """
    old = {one.step: one.value for one in recorded}
    new = dict(here)
    steps = sorted(old.keys() | new.keys())
    points = tuple(Point(step, old.get(step), new.get(step)) for step in steps)
    return Comparison(points=points, tolerance=tolerance)
