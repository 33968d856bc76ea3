"""Browsers' sessions as rows, so that they outlive a restart. Nothing in them lets anyone in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, select

from storage import rows
from storage.bulk import delete_rows, upsert_rows
from storage.changes import StoredSession
from storage.tables import sessions

_MOST = 10_000


def write_sessions(connection: Connection, found: Mapping[str, StoredSession | None]) -> None:
    """Write sessions by key, None for those ended; forget those that are over."""
    begun = [s for s in found.values() if s is not None]
    upsert_rows(connection, sessions, [_row(s) for s in begun], "key")
    delete_rows(connection, sessions.c.key, [key for key, s in found.items() if s is None])
    if begun:
        now = rows.naive(max(s.at for s in begun))
        connection.execute(delete(sessions).where(sessions.c.ends_at <= now))


def read_sessions(connection: Connection, now: datetime) -> list[StoredSession]:
    """Return the sessions that are not over, the newest of them if there are very many."""
    live = select(sessions).where(sessions.c.ends_at > rows.naive(now))
    query = live.order_by(sessions.c.ends_at.desc()).limit(_MOST)
    return [
        StoredSession(**{**row, "at": rows.aware(row["at"]), "ends_at": rows.aware(row["ends_at"])})
        for row in connection.execute(query).mappings()
    ]


def _row(session: StoredSession) -> rows.Row:
    return {
        **vars(session),
        "at": rows.naive(session.at),
        "ends_at": rows.naive(session.ends_at),
    }
