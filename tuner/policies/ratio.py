"""The update ratio: the rate is scaled until a step changes the weights by about a thousandth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tuner.policies.base import Record, Verdict
from tuner.spec import UpdateRatio
from tuner.trial import EventKind, Report

_SAME_LEVEL = 1e-9


def judge(
    policy: UpdateRatio, base_rate: float | None, reports: Sequence[Report], given: float = 1.0
) -> Verdict:
    """Judge the newest report of a lineage ordered by step.

    The last `patience + 1` reports decide, if all ran at `given`, the level decided so far, and
    their ratios lie beyond the band on one side: the level is multiplied by the target over their
    geometric mean, at most `step` up or down, and kept within `bound`. A report without the metric,
    or with one that is no number above 0, decides nothing.

    `base_rate`, the trial's starting rate or None, is for the record alone.
    """
    changes = tuple(a.step for a, b in pairwise(reports) if not _same(a.lr_factor, b.lr_factor))
    mean = _beyond(policy, reports[-policy.patience - 1 :], given)
    if mean is None or len(reports) <= policy.patience:
        return Verdict(lr_factor=given, cuts=changes)
    newest = reports[-1]
    wanted = min(max(policy.target / mean, 1 / policy.step), policy.step)
    after = min(max(given * wanted, 1 / policy.bound), policy.bound)
    if _same(after, given) or (policy.until is not None and newest.step > policy.until):
        return Verdict(lr_factor=given, cuts=changes)
    record = _scaled(policy, base_rate, newest, mean, levels=(given, after))
    return Verdict(lr_factor=after, records=(record,), cuts=(*changes, newest.step))


def level_after(policy: UpdateRatio, reports: Sequence[Report]) -> float:
    """Return the level that a lineage leads to: that of its last report, judged once more."""
    return judge(policy, None, reports, reports[-1].lr_factor).lr_factor if reports else 1.0


def _beyond(policy: UpdateRatio, window: Sequence[Report], given: float) -> float | None:
    """Return the geometric mean of ratios that all lie beyond the band on one side, else None."""
    logs = []
    for report in window:
        ratio = (report.metrics or {}).get(policy.metric, 0.0)
        if not (ratio > 0 and math.isfinite(ratio) and _same(report.lr_factor, given)):
            return None
        logs.append(math.log(ratio / policy.target))
    edge = math.log(policy.band)
    if not logs or not (min(logs) > edge or max(logs) < -edge):
        return None
    return policy.target * math.exp(math.fsum(logs) / len(logs))


def _scaled(
    policy: UpdateRatio,
    base_rate: float | None,
    newest: Report,
    mean: float,
    *,
    levels: tuple[float, float],
) -> Record:
    old, new = (None if base_rate is None else base_rate * x for x in levels)
    change = f"lr_factor {levels[0]:.6g} → {levels[1]:.6g}"
    if base_rate is not None:
        change = f"rate {old:.6g} → {new:.6g}"
    n = policy.patience + 1
    many = f"{n} report{'' if n == 1 else 's'}"
    return Record(
        kind=EventKind.SCALED,
        data={
            "rule": policy.name,
            "reason": f"{policy.metric} {mean:.2g} over {many}, "
            f"should be near {policy.target:.2g}: {change}",
            "step": newest.step,
            "old_rate": old,
            "new_rate": new,
            "old_factor": levels[0],
            "new_factor": levels[1],
            "ratio": mean,
            "target": policy.target,
        },
    )


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_SAME_LEVEL)
