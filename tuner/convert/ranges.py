"""Parameters of a space, in our document's words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tuner.convert.source import Path, Source, fault

_LONGEST_NAME, _LONGEST_VALUE, _MOST_VALUES, _LARGEST = 64, 200, 1000, 2**53
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")
Number = float | int


class Names:
    """Gives each foreign name one of ours: letters, digits and `_`, each once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._taken: set[str] = set()

    def give(self, foreign: str, path: Path) -> str:
        """Return our name; a remark says if it is another one."""
        plain = _NOT_IN_NAMES.sub("_", foreign)[:_LONGEST_NAME] or "_"
        plain = f"_{plain}"[:_LONGEST_NAME] if plain[0].isdigit() else plain
        name, count = plain, 1
        while name in self._taken:
            count += 1
            name = f"{plain[: _LONGEST_NAME - 4]}_{count}"
        self._taken.add(name)
        if name != foreign:
            self._source.change(path, f"is called {name} here: names are of letters, digits and _")
        return name


def interval(
    low: Number, high: Number, path: Path, *, whole: bool = False, log: bool = False
) -> dict[str, Any]:
    """Return an interval; one value if both bounds are the same. Raises InvalidInput."""
    if not (math.isfinite(low) and math.isfinite(high)) or max(abs(low), abs(high)) > _LARGEST:
        raise fault(path, f"the bounds {low} and {high} do not lie within ±2**53")
    if low > high:
        raise fault(path, f"min ({low}) is larger than max ({high})")
    if log and low <= 0:
        raise fault(path, f"a logarithmic range needs min > 0, not {low}")
    if low == high:
        return {"value": int(low) if whole else low}
    if whole:
        return {"min": int(low), "max": int(high)} | ({"log": True} if log else {})
    return {"min": float(low), "max": float(high)} | ({"log": True} if log else {})


def stepped(
    source: Source,
    low: Number,
    high: Number,
    step: Number,
    path: Path,
    *,
    origin: Number,
    whole: bool = False,
) -> dict[str, Any]:
    """Return an interval in steps counted from `origin`; bounds between two steps move inwards."""
    if not step > 0 or not math.isfinite(step):
        raise fault(path, f"the step must be positive, not {step}")
    first, last = _steps(low, high, step, origin)
    if last < first:
        raise fault(path, f"no step of {step} lies between {low} and {high}")
    bottom, top = (_at(origin, step, n) for n in (first, last))
    if (bottom, top) != (low, high):
        source.change(
            path,
            f"the bounds {low:g} and {high:g} move to {bottom:g} and {top:g}, on steps of {step:g}",
        )
    found = interval(bottom, top, path, whole=whole)
    return found if "value" in found else found | {"step": int(step) if whole else float(step)}


def _steps(low: Number, high: Number, step: Number, origin: Number) -> tuple[int, int]:
    given, start = Decimal(str(step)), Decimal(str(origin))
    first = (Decimal(str(low)) - start) / given
    last = (Decimal(str(high)) - start) / given
    return math.ceil(first), math.floor(last)


def _at(origin: Number, step: Number, count: int) -> float:
    return float(Decimal(str(origin)) + Decimal(str(step)) * count)


def choices(source: Source, values: Sequence[Any], path: Path) -> dict[str, Any] | None:
    """Return a list to choose from; None if nothing of it can be carried over."""
    kept: list[Any] = []
    for i, value in enumerate(values):
        why = (
            _refusal(value)
            or ("stands in the list twice" if value in kept else None)
            or ("a list has at most 1000 values" if len(kept) == _MOST_VALUES else None)
        )
        if why is None:
            kept.append(value)
        else:
            source.leave((*path, i), why)
    source.use(*path)
    return {"values": kept} if kept else None


def constant(source: Source, value: Any, path: Path) -> dict[str, Any] | None:
    """Return one fixed value; None if it can't be carried over."""
    why = _refusal(value)
    if why is not None:
        source.leave(path, why)
        return None
    source.use(*path)
    return {"value": value}


def _refusal(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if math.isfinite(value) and abs(value) <= _LARGEST else "is too large a number"
    if isinstance(value, str):
        return None if len(value) <= _LONGEST_VALUE else "is a text of more than 200 characters"
    what = {"NoneType": "nothing", "dict": "a mapping"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )
    return f"is {what}; a value is a number, a text, true or false"
