"""Columns as numbers: what a column becomes follows from its training rows alone.

`fit` looks at the training rows and returns a column's preparation; `apply` turns any rows into
numbers with it.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tuner.train.table.read import Cells

Numbers = NDArray[np.float64]

MAX_LEVELS = 50
CUT_OFF = 8.0  # standard deviations; what lies further is cut
LARGEST = 1e100
"""A number beyond it is none: its square, summed over the rows, is no float any more."""
_SPAN = 100.0  # from this ratio of the largest to the middle size a column spans magnitudes
_A_FEW = 10
_MOSTLY = 0.95  # from this share of numbers or dates a column is one of them
_EPOCH = datetime.datetime(1970, 1, 1)
_TURNS = {"year": 365.2425, "week": 7.0, "day": 1.0}  # in days


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """A number: by `log1p` if it spans magnitudes, then mean 0 and variance 1, unknown as mean."""

    kind: ClassVar = "numeric"
    name: str
    log1p: bool
    mean: float
    std: float
    missing: bool

    @property
    def width(self) -> int:
        """Numbers it becomes; where training rows lack it, one says so."""
        return 2 if self.missing else 1

    def apply(self, cells: Cells) -> Numbers:
        """Return [rows, width]."""
        return _scaled(_numbers(cells), self)


@dataclass(frozen=True, kw_only=True)
class Dates:
    """A date: days, prepared as a number, and sine and cosine of the time of the year and week.

    `day` says whether there is a time of the day, too.
    """

    kind: ClassVar = "date"
    name: str
    days: Numeric
    day: bool

    @property
    def width(self) -> int:
        """Numbers it becomes."""
        return self.days.width + (6 if self.day else 4)

    def apply(self, cells: Cells) -> Numbers:
        """Return [rows, width]."""
        days = _days(cells)
        turns = [_TURNS["year"], _TURNS["week"]] + ([_TURNS["day"]] if self.day else [])
        angles = days[:, None] * (2 * math.pi / np.array(turns))
        circles = np.nan_to_num(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))
        return np.concatenate([_scaled(days, self.days), circles], axis=1)


@dataclass(frozen=True, kw_only=True)
class Category:
    """A word: one number for each of the levels, 1 at its own.

    `other` is a level for rarer words, `missing` one for unknown ones; where the training rows have
    none of these, such a row is all 0.
    """

    kind: ClassVar = "category"
    name: str
    levels: tuple[str, ...]
    other: bool
    missing: bool

    @property
    def width(self) -> int:
        """Numbers it becomes."""
        return len(self.levels) + self.other + self.missing

    def apply(self, cells: Cells) -> Numbers:
        """Return [rows, width]."""
        places: dict[str | None, int] = {level: i for i, level in enumerate(self.levels)}
        known, rest = len(self.levels), len(self.levels) if self.other else None
        if self.missing:
            places[None] = known + self.other
        found = np.zeros((len(cells), self.width))
        for row, cell in enumerate(cells):
            place = places.get(cell, None if cell is None else rest)
            if place is not None:
                found[row, place] = 1.0
        return found


Column = Numeric | Dates | Category


def fit(name: str, cells: Cells) -> tuple[Column | None, str | None]:
    """Return how a column is prepared, None if it tells nothing, and a note for its owner.

    Args:
        name: the column's.
        cells: those of the training rows.
    """
    present = [cell for cell in cells if cell is not None]
    if len(set(cells)) < 2:
        return None, f"{name} is left out: it is the same in all training rows"
    for read, make in ((_numbers, _numeric), (_days, _dates)):
        values = read(cells)
        good = int(np.isfinite(values).sum())
        if good >= _MOSTLY * len(present) and good > 0:
            return make(name, values), _remark(name, values, len(present) - good)
    counts = Counter(present)
    if len(counts) > max(MAX_LEVELS, len(present) / 2):
        return None, f"{name} is left out: its {len(counts)} different texts are no categories"
    ranked = sorted(counts, key=lambda level: (-counts[level], level))
    return Category(
        name=name,
        levels=tuple(sorted(ranked[:MAX_LEVELS])),
        other=len(ranked) > MAX_LEVELS,
        missing=len(present) < len(cells),
    ), None


def _remark(name: str, values: Numbers, odd: int) -> str | None:
    """Say what a column's owner should know of its numbers, if anything."""
    if odd:
        return f"{name}: {odd} odd value{'s count' if odd > 1 else ' counts'} as unknown"
    known = values[np.isfinite(values)]
    counts = len(known) >= _A_FEW and bool((known % 1 == 0).all())
    if counts and len(set(known)) == len(values) and np.ptp(known) < 2 * len(known):
        return f"{name} seems to number the rows: if it does, ignore it"
    return None


def recalled(document: Mapping[str, Any]) -> Column:
    """Return a preparation from the document that a checkpoint holds of it.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    fields = dict(document)
    kind = fields.pop("kind")
    if kind == Dates.kind:
        return Dates(**{**fields, "days": Numeric(**fields["days"])})
    if kind == Category.kind:
        return Category(**{**fields, "levels": tuple(fields["levels"])})
    if kind == Numeric.kind:
        return Numeric(**fields)
    raise ValueError(f"a column's kind is {kind!r}")


def odd(column: Column, cells: Cells) -> int:
    """Return how many known cells are nothing that the training rows had of a column's sort."""
    known = [cell for cell in cells if cell is not None]
    if isinstance(column, Category):
        if column.other:
            return 0
        return sum(cell not in column.levels for cell in known)
    values = _days(known) if isinstance(column, Dates) else _numbers(known)
    return int(np.isnan(values).sum())


def number(text: str | None) -> float:
    """Read a number; NaN if it is none, or beyond `LARGEST`."""
    try:
        value = math.nan if text is None or "_" in text else float(text)
    except ValueError:
        return math.nan
    return value if abs(value) <= LARGEST else math.nan


def _numbers(cells: Cells) -> Numbers:
    return np.array([number(cell) for cell in cells], dtype=np.float64)


def _days(cells: Cells) -> Numbers:
    """Return days since 1970, NaN where there is no ISO 8601 date; zones become UTC."""
    return np.array([_day(cell) for cell in cells], dtype=np.float64)


def _day(cell: str | None) -> float:
    try:
        when = datetime.datetime.fromisoformat(cell or "")
    except ValueError:
        return math.nan
    if when.tzinfo is not None:
        when = when.astimezone(datetime.UTC).replace(tzinfo=None)
    return (when - _EPOCH) / datetime.timedelta(days=1)


def _numeric(name: str, values: Numbers) -> Numeric:
    known = values[np.isfinite(values)]
    sizes = np.abs(known[known != 0])
    wide = bool(sizes.size and sizes.max() >= _SPAN * np.median(sizes))
    if wide:
        known = _log1p(known)
    std = float(known.std())
    return Numeric(
        name=name,
        log1p=wide,
        mean=float(known.mean()),
        std=std if std > 0 else 1.0,
        missing=len(known) < len(values),
    )


def _dates(name: str, values: Numbers) -> Dates:
    known = values[np.isfinite(values)]
    # Days don't span magnitudes: where they begin is a convention.
    days = Numeric(
        name=name,
        log1p=False,
        mean=float(known.mean()),
        std=float(known.std()) or 1.0,
        missing=len(known) < len(values),
    )
    return Dates(name=name, days=days, day=bool((known % 1 != 0).any()))


def _scaled(values: Numbers, by: Numeric) -> Numbers:
    known = np.isfinite(values)
    prepared = _log1p(values) if by.log1p else values
    scaled = np.where(known, ((prepared - by.mean) / by.std).clip(-CUT_OFF, CUT_OFF), 0.0)
    return np.stack([scaled, ~known] if by.missing else [scaled], axis=1)


def _log1p(values: Numbers) -> Numbers:
    found: Numbers = np.sign(values) * np.log1p(np.abs(values))
    return found
