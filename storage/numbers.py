"""The highest number given to an event, which outlives the events that are deleted.

Numbers never come back: whoever read up to one may ask for what came after it. While its event is
there, the table of events holds the highest; before events are deleted, it is noted in a row.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, inspect, select

from storage.bulk import upsert_rows
from storage.tables import events, numbers

_EVENT = "event"


def highest_seq(connection: Connection) -> int:
    """Return the highest `seq` ever given, 0 before the first; also in an older schema."""
    found = connection.execute(select(func.max(events.c.seq))).scalar() or 0
    return max(found, _noted(connection))


def note_seq(connection: Connection, least: int = 0) -> None:
    """Note the highest `seq` ever given, or `least` if that is higher, before events go.

    A database of an older schema has no room for it and is left as it is.
    """
    highest, noted = max(highest_seq(connection), least), _noted(connection)
    if highest > noted and inspect(connection).has_table(numbers.name):
        upsert_rows(connection, numbers, [{"kind": _EVENT, "highest": highest}], "kind")


def _noted(connection: Connection) -> int:
    if not inspect(connection).has_table(numbers.name):
        return 0
    query = select(numbers.c.highest).where(numbers.c.kind == _EVENT)
    return connection.execute(query).scalar() or 0
