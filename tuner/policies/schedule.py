"""A schedule given in advance: the rate follows it, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.policies.base import Record, Verdict
from tuner.spec import RateSchedule
from tuner.trial import EventKind, Report


def level(policy: RateSchedule, step: int) -> float:
    """Return the level after `step` finished steps: the last point's reached, 1 before any."""
    reached = [p.lr_factor for p in policy.points if p.step <= step]
    return reached[-1] if reached else 1.0


def judge(policy: RateSchedule, reports: Sequence[Report], given: float = 1.0) -> Verdict:
    """Judge the newest report of a lineage ordered by step; the level follows the schedule.

    There is a record for a level below `given`, the one decided so far.
    """
    if not reports:
        return Verdict(lr_factor=given)
    step = reports[-1].step
    after = level(policy, step)
    cuts = tuple(
        p.step
        for p, before in zip(
            policy.points, [1.0, *(p.lr_factor for p in policy.points)], strict=False
        )
        if p.step <= step and p.lr_factor < before
    )
    if not after < given:
        return Verdict(lr_factor=after, cuts=cuts)
    reason = f"the schedule sets the rate to {after:.6g} of its start"
    record = Record(
        kind=EventKind.HALVED,
        data={
            "rule": policy.name,
            "reason": reason,
            "step": step,
            "old_rate": None,
            "new_rate": None,
            "old_factor": given,
            "new_factor": after,
        },
    )
    return Verdict(lr_factor=after, records=(record,), cuts=cuts)
