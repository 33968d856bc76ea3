"""Numbers as charts need them: short, and only finite ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from tuner.wire.charts import Column

T = TypeVar("T")
DIGITS = 8


def short(value: float) -> float:
    """Return a finite number with `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def column(values: Iterable[float | None]) -> Column:
    """Return numbers, None for what is absent or not finite."""
    return [None if v is None or not math.isfinite(v) else short(v) for v in values]


def spread(items: Sequence[T], most: int) -> Sequence[T]:
    """Return at most `most` items at even distances, the first and the last among them."""
    if len(items) <= most:
        return items
    if most < 2:
        return items[:most]
    gap = (len(items) - 1) / (most - 1)
    return [items[round(k * gap)] for k in range(most)]
