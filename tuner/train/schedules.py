"""Courses of the rate, each a pure function of the time since the start: nothing to resume.

Time is in epochs and runs through them, batch by batch; at whole epochs each course is what torch's
scheduler of that kind gives. The factor multiplies the rate beside the level that the server
decides, so that a plateau halves what is left of the schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from tuner.train.recipe import Recipe


def factor(recipe: Recipe, time: float, steps: int) -> float:
    """Return what the rate is multiplied by after `time` of `steps` epochs."""
    course = COURSES[recipe.schedule](recipe, time, steps)
    return course if time >= recipe.warmup else course * _rising(time / recipe.warmup)


def _rising(share: float) -> float:
    # From a hundredth: a rate of 0 would waste the first batch.
    return 0.01 + 0.99 * share


def _constant(recipe: Recipe, time: float, steps: int) -> float:
    return 1.0


def _linear(recipe: Recipe, time: float, steps: int) -> float:
    return _between(recipe.lr_floor, 1 - min(time / steps, 1.0))


def _exponential(recipe: Recipe, time: float, steps: int) -> float:
    return float((0.9 if recipe.gamma is None else recipe.gamma) ** time)


def _milestones(recipe: Recipe, time: float, steps: int) -> float:
    passed = sum(time >= float(share) * steps for share in recipe.milestones.split(","))
    return float((0.1 if recipe.gamma is None else recipe.gamma) ** passed)


def _cosine(recipe: Recipe, time: float, steps: int) -> float:
    # Loshchilov & Hutter 2017, equation 5, with one cycle.
    return _between(recipe.lr_floor, _half_wave(min(time / steps, 1.0)))


def _cyclic(recipe: Recipe, time: float, steps: int) -> float:
    # The same with warm restarts, each cycle `cycle_growth` times as long as the one before.
    length, since = float(recipe.cycle or max(1, steps // 3)), time
    while since >= length:
        since -= length
        length *= recipe.cycle_growth
    return _between(recipe.lr_floor, _half_wave(since / length))


def _half_wave(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def _between(floor: float, share: float) -> float:
    return floor + (1 - floor) * share


COURSES: Mapping[str, Callable[[Recipe, float, int], float]] = {
    "constant": _constant,
    "linear": _linear,
    "exponential": _exponential,
    "milestones": _milestones,
    "cosine": _cosine,
    "cyclic": _cyclic,
}
