"""Pages of lists: a cursor says after which item a page begins, so that no change moves the rest.

Guarantees: an item that stays, with an unchanged sort key, is on exactly one page, whatever comes
or goes meanwhile. A cursor serves only the list, filters and order that it was given out for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from tuner.errors import Fault, InvalidInput, Malformed
from tuner.spec import parse_json

T = TypeVar("T")
Value = float | str
_PARTS = 4


class Place(NamedTuple):
    """Where an item stands: those without a value come last, by id."""

    missing: bool
    value: Value
    ident: int


@dataclass(frozen=True, kw_only=True)
class Order(Generic[T]):
    """How a list is sorted: by a value that items may lack, then by id; `reverse` turns both."""

    value: Callable[[T], Value | None]
    ident: Callable[[T], int]
    reverse: bool = False

    def place(self, item: T) -> Place:
        """Return where an item stands."""
        value = self.value(item)
        return Place(value is None, 0 if value is None else value, self.ident(item))

    def arrange(self, items: Iterable[T]) -> list[tuple[Place, T]]:
        """Return items with their places, in order."""
        placed = [(self.place(item), item) for item in items]
        there = sorted((p for p in placed if not p[0].missing), key=_by, reverse=self.reverse)
        return there + sorted((p for p in placed if p[0].missing), key=_by)

    def is_after(self, place: Place, other: Place) -> bool:
        """Tell whether an item at `place` comes after one at `other`."""
        if place.missing or other.missing or not self.reverse:
            return place > other
        return place < other


def _by(placed: tuple[Place, Any]) -> Place:
    return placed[0]


def cut(
    items: Iterable[T], order: Order[T], scope: Sequence[object], *, limit: int, cursor: str | None
) -> tuple[list[T], str | None]:
    """Return a page of a list and the cursor of the next one, None at the end.

    Args:
        items: all that the filters let through.
        order: how they are sorted.
        scope: what makes this list another one: its name, filters and order.
        limit: items on the page.
        cursor: `next_cursor` of the page before.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    placed = order.arrange(items)
    if cursor is not None:
        last = _read(cursor, scope, placed)
        placed = [p for p in placed if order.is_after(p[0], last)]
    page = placed[:limit]
    more = _write(page[-1][0], scope) if len(placed) > limit else None
    return [item for _, item in page], more


def _write(place: Place, scope: Sequence[object]) -> str:
    text = json.dumps([_check(place, scope), *place], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str, scope: Sequence[object], placed: Sequence[tuple[Place, object]]) -> Place:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = parse_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, InvalidInput, Malformed, UnicodeDecodeError):
        refuse()
    if not isinstance(found, list) or len(found) != _PARTS:
        refuse()
    check, missing, value, ident = found
    if type(missing) is not bool or type(ident) is not int or type(value) not in (int, float, str):
        refuse()
    if missing and (type(value) is not int or value != 0):
        refuse()
    place = Place(missing, value, ident)
    texts = {isinstance(p.value, str) for p, _ in placed if not p.missing}
    if check != _check(place, scope) or (not missing and texts - {isinstance(value, str)}):
        refuse()
    if isinstance(value, float) and not math.isfinite(value):
        refuse()
    return place


def _check(place: Place, scope: Sequence[object]) -> str:
    text = repr([*place, *map(str, scope)])
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def refuse() -> NoReturn:
    """Refuse a cursor. Raises InvalidInput."""
    message = "is not a `next_cursor` of this list with these filters"
    raise InvalidInput(f"query.cursor: {message}", [Fault(where="query.cursor", message=message)])
