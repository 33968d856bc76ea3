"""Which checkpoints of a trial are kept. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from tuner.trial import Checkpoint, Report

LAST = 2
"""Newest checkpoints that are kept: the current one, and the one before if that is damaged."""


class Kept(NamedTuple):
    """A trial's checkpoints that stay, oldest first, those that go, and which is the best."""

    stay: tuple[Checkpoint, ...]
    go: tuple[Checkpoint, ...]
    best: Checkpoint | None


def sort(
    checkpoints: Iterable[Checkpoint], reports: Sequence[Report], mode: Literal["min", "max"]
) -> Kept:
    """Keep the last two checkpoints, and the one at whose step the best value was reported.

    Of equal values the earliest counts. A checkpoint at a step without a finite value is never the
    best one.
    """
    ordered = sorted(checkpoints, key=lambda c: (c.attempt, c.step))
    best = best_of(ordered, reports, mode)
    stay = tuple(c for i, c in enumerate(ordered) if i >= len(ordered) - LAST or c == best)
    return Kept(stay=stay, go=tuple(c for c in ordered if c not in stay), best=best)


def best_of(
    checkpoints: Sequence[Checkpoint], reports: Sequence[Report], mode: Literal["min", "max"]
) -> Checkpoint | None:
    """Return the checkpoint at whose step the best value was reported, None if at none."""
    values = {r.step: r.value for r in reports if math.isfinite(r.value)}
    valued = [c for c in checkpoints if c.step in values]
    sign = 1.0 if mode == "min" else -1.0
    return min(valued, key=lambda c: sign * values[c.step], default=None)
