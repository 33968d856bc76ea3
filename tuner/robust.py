"""One number for several runs or environments, by how much one dares to rely on luck."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Literal, get_args

Rule = Literal["mean", "worst", "mean_minus_std"]
RULES: tuple[Rule, ...] = get_args(Rule)


def aggregated(
    values: Sequence[float], rule: Rule, k: float = 1.0, *, smaller_is_better: bool
) -> float:
    """Return the mean, the worst value, or the mean moved toward worse by `k` standard deviations.

    Args:
        values: at least one.
        rule: what is wanted of them.
        k: of `mean_minus_std`.
        smaller_is_better: then the worst is the largest, and the deviations are added.
    """
    if rule == "worst":
        return max(values) if smaller_is_better else min(values)
    mean = fmean(values)
    if rule == "mean":
        return mean
    return mean + (k if smaller_is_better else -k) * pstdev(values)
