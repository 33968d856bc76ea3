"""Warm restarts: the rate falls along a cosine, again and again, each cycle longer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tuner.policies.base import Record, Verdict
from tuner.spec import WarmRestarts
from tuner.trial import EventKind, Report


class Cycle(NamedTuple):
    """One fall of the rate: its place from 0, the step it starts after, its length in steps."""

    place: int
    start: int
    length: int


def cycle(policy: WarmRestarts, step: int) -> Cycle:
    """Return the cycle that trains the step after `step` finished ones."""
    if policy.growth == 1:
        place = step // policy.period
        return Cycle(place, place * policy.period, policy.period)
    place, start, length = 0, 0, policy.period
    while start + length <= step:
        place, start, length = place + 1, start + length, length * policy.growth
    return Cycle(place, start, length)


def level(policy: WarmRestarts, step: int) -> float:
    """Return the level after `step` finished steps.

    Within a cycle it is `floor + (1 - floor) * (1 + cos(pi * done)) / 2` of the cycle's peak
    (Loshchilov & Hutter 2017, equation 5), `done` being the share of the cycle that is over.
    """
    place, start, length = cycle(policy, step)
    done = (step - start) / length
    share = policy.floor + (1 - policy.floor) * (1 + math.cos(math.pi * done)) / 2
    return max(policy.peak**place, policy.floor) * share


def judge(policy: WarmRestarts, reports: Sequence[Report], given: float = 1.0) -> Verdict:
    """Judge the newest report of a lineage ordered by step; the level follows the cycles.

    There is a record for each restart, which tells how long the new cycle is. `cuts` are the
    restarts, after which the objective gets worse for a while.
    """
    if not reports:
        return Verdict(lr_factor=given)
    step = reports[-1].step
    now, after = cycle(policy, step), level(policy, step)
    before = cycle(policy, reports[-2].step if len(reports) > 1 else 0)
    cuts = _restarts(policy, now.place)
    if now.place == before.place or after == given:
        return Verdict(lr_factor=after, cuts=cuts)
    reason = f"cycle {now.place + 1} starts, {now.length} steps long"
    record = Record(
        kind=EventKind.SCALED,
        data={
            "rule": policy.name,
            "reason": reason,
            "step": step,
            "old_factor": given,
            "new_factor": after,
            "cycle": now.place + 1,
            "length": now.length,
        },
    )
    return Verdict(lr_factor=after, records=(record,), cuts=cuts)


def _restarts(policy: WarmRestarts, place: int) -> tuple[int, ...]:
    """Return the steps after which the newest cycles started; pruning asks for no older ones."""
    if policy.growth == 1:
        return tuple(k * policy.period for k in range(max(1, place - 100), place + 1))
    return tuple(
        policy.period * (policy.growth**k - 1) // (policy.growth - 1) for k in range(1, place + 1)
    )
