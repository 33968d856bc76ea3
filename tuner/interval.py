"""A mean and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

_NORMAL = 1.959963984540054
_EXACT = {1: 12.706204736432095, 2: 4.302652729696142, 3: 3.182446305284263}


class Mean(NamedTuple):
    """A mean with the ends of its 95 % interval, None for a single value."""

    value: float
    low: float | None
    high: float | None
    n: int


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of at least one value, with its interval by Student's t."""
    mean, n = fmean(values), len(values)
    if n == 1:
        return Mean(mean, None, None, 1)
    half = student(n - 1) * stdev(values) / math.sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t within 0.1 %.

    By Cornish and Fisher's expansion around the normal quantile (Abramowitz & Stegun, 26.7.5).
    """
    if degrees in _EXACT:
        return _EXACT[degrees]
    z, v = _NORMAL, float(degrees)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / v**k for k, term in enumerate(terms, start=1))
