"""Cuts of the rate that people make: each holds from its step on, in every attempt."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuner.policies.base import Data, Record
from tuner.trial import EventKind, HandCut

RULE = "by hand"


def level(hand: Sequence[HandCut], step: int) -> float:
    """Return the product of the cuts made up to `step` finished steps."""
    return math.prod(cut.factor for cut in hand if cut.step <= step)


def between(hand: Sequence[HandCut], after: int, upto: int) -> tuple[HandCut, ...]:
    """Return the cuts made after `after` and up to `upto` finished steps."""
    return tuple(cut for cut in hand if after < cut.step <= upto)


def again(cuts: Sequence[HandCut], step: int, old: float, new: float) -> tuple[Record, ...]:
    """Return the record of cuts that an attempt meets again, which began before them."""
    if not cuts or not new < old * (1 - 1e-9):
        return ()
    reason = f"what was cut by hand after step {cuts[-1].step} is cut again in this attempt"
    data: Data = {
        "rule": RULE,
        "reason": reason,
        "step": step,
        "old_rate": None,
        "new_rate": None,
        "old_factor": old,
        "new_factor": new,
    }
    return (Record(kind=EventKind.HALVED, data=data),)
