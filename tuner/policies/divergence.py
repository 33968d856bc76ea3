"""Divergence: a trial whose objective is not finite, or far above its start, ends at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuner.decision import Outcome
from tuner.policies.base import Data, Verdict, storable
from tuner.spec import Divergence
from tuner.trial import Report


def judge(policy: Divergence | None, mode: str, reports: Sequence[Report]) -> Verdict:
    """Judge the newest report.

    A value that is not finite says that the trial diverged, whether the study has the policy or
    not. With it, a trial also diverged when its value is worse than its first finite one by more
    than `ratio * max(abs(first), floor)`.
    """
    if not reports:
        return Verdict()
    newest = reports[-1]
    if not math.isfinite(newest.value):
        return _stop(f"the objective is {newest.value} at step {newest.step}", newest)
    if policy is None:
        return Verdict()
    first = next(r for r in reports if math.isfinite(r.value))
    worse = newest.value - first.value if mode == "min" else first.value - newest.value
    limit = policy.ratio * max(abs(first.value), policy.floor)
    if not worse > limit:
        return Verdict()
    reason = (
        f"{newest.value:.6g} at step {newest.step} is worse than the first report, "
        f"{first.value:.6g} at step {first.step}, by {worse:.6g}; the limit is {limit:.6g}"
    )
    return _stop(reason, newest, first=first.value, limit=storable(limit))


def _stop(reason: str, newest: Report, **numbers: float | None) -> Verdict:
    grounds: Data = {
        "rule": "divergence",
        "reason": reason,
        "step": newest.step,
        "value": storable(newest.value),
    }
    return Verdict(stop=Outcome.DIVERGED, reason=reason, grounds={**grounds, **numbers})
