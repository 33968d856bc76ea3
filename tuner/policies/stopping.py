"""Early stopping: validation gets worse while the training still gets better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tuner.decision import Outcome
from tuner.policies.base import Data, Folded, Verdict, storable
from tuner.spec import EarlyStopping
from tuner.trial import Report


class Course(NamedTuple):
    """What the fold knows after a report.

    `best` is the best value, at `step`, where the training stood at `trained` (None if not told).
    `seen` counts the reports, `bad` those of over-fitting since the best one.
    """

    best: float
    step: int = 0
    trained: float | None = None
    seen: int = 0
    bad: int = 0


def fold(policy: EarlyStopping, mode: str, reports: Sequence[Report]) -> Course:
    """Return the state after `reports`, ordered by step."""
    course = Course(best=math.inf if mode == "min" else -math.inf)
    for report in reports:
        course = advance(policy, mode, course, report)
    return course


def advance(policy: EarlyStopping, mode: str, course: Course, report: Report) -> Course:
    """Return the state after one more report.

    A report counts as bad if it is worse than the best one by more than the threshold, and the
    training stands better than it did there.
    """
    sign = 1.0 if mode == "min" else -1.0
    seen, trained = course.seen + 1, _trained(policy, report)
    if sign * report.value < sign * course.best:
        return Course(report.value, report.step, trained, seen)
    worse = sign * (report.value - course.best) > policy.threshold * abs(course.best)
    if seen <= policy.warmup or not worse or not _trains_on(policy, course.trained, trained):
        return course._replace(seen=seen)
    return course._replace(seen=seen, bad=course.bad + 1)


def judge(
    policy: EarlyStopping | None,
    mode: str,
    reports: Sequence[Report],
    *,
    memo: Folded | None = None,
) -> Verdict:
    """Judge the newest report of a lineage ordered by step.

    `memo` is that of the verdict before.
    """
    if policy is None or not reports:
        return Verdict()
    earlier, newest = reports[:-1], reports[-1]
    known = memo is not None and memo.reports == earlier and isinstance(memo.state, Course)
    before = memo.state if memo is not None and known else fold(policy, mode, earlier)
    assert isinstance(before, Course)
    after = advance(policy, mode, before, newest)
    if after.bad <= policy.patience:
        return Verdict(memo={str(policy.name): Folded(reports, None, after)})
    reason = (
        f"over-fitting: {after.bad} report{'' if after.bad == 1 else 's'} worse than "
        f"{after.best:.6g} at step {after.step}"
    )
    trained = _trained(policy, newest)
    if trained is not None and after.trained is not None:
        reason += f", while {policy.train} went from {after.trained:.6g} to {trained:.6g}"
    grounds: Data = {
        "rule": policy.name,
        "reason": reason,
        "step": newest.step,
        "value": storable(newest.value),
        "best": storable(after.best),
        "best_step": after.step,
        "train": trained,
        "train_at_best": after.trained,
        "bad": after.bad,
        "patience": policy.patience,
    }
    return Verdict(stop=Outcome.COMPLETE, reason=reason, grounds=grounds)


def _trained(policy: EarlyStopping, report: Report) -> float | None:
    found = (report.metrics or {}).get(policy.train or "")
    return found if found is not None and math.isfinite(found) else None


def _trains_on(policy: EarlyStopping, at_best: float | None, now: float | None) -> bool:
    if policy.train is None:
        return True
    if at_best is None or now is None:
        return False
    return now < at_best if policy.train_mode == "min" else now > at_best
