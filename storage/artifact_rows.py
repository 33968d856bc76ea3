"""Checkpoints and artifacts of trials: their rows written, and their bytes added up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, delete, func, select

from storage import rows, tables
from storage.bulk import upsert_rows
from storage.changes import Changes

_FETCH = 10_000


def write_files(connection: Connection, changes: Changes) -> None:
    """Write what a change set says of files, but for new checkpoints."""
    table = tables.checkpoints
    if changes.checkpoints_dropped:
        names = ("trial_id", "attempt", "step")
        gone = delete(table).where(*(table.c[name] == bindparam(f"b_{name}") for name in names))
        connection.execute(
            gone,
            [
                {f"b_{name}": value for name, value in zip(names, place, strict=True)}
                for place in changes.checkpoints_dropped
            ],
        )
    at = rows.naive(datetime.now(UTC))
    marks = [{"store_id": i, "name": name, "at": at} for i, name in changes.marks.items()]
    upsert_rows(connection, tables.stores, marks, "store_id")
    files = [rows.artifact_row(a) for a in changes.artifacts]
    upsert_rows(connection, tables.artifacts, files, "trial_id", "name")


def read_held_bytes(connection: Connection) -> dict[int, int]:
    """Add up the sizes of each study's checkpoints and artifacts."""
    found: dict[int, int] = {}
    for table in (tables.checkpoints, tables.artifacts):
        query = (
            select(tables.trials.c.study_id, func.sum(table.c.size))
            .join(table, table.c.trial_id == tables.trials.c.trial_id)
            .group_by(tables.trials.c.study_id)
        )
        for study_id, size in connection.execute(query):
            found[study_id] = found.get(study_id, 0) + int(size)
    return found


def read_marks(connection: Connection) -> frozenset[str]:
    """Return the ids of the stores that are this database's."""
    return frozenset(connection.execute(select(tables.stores.c.store_id)).scalars())


def all_paths(connection: Connection) -> Iterator[str]:
    """Yield the path of every file that a row names."""
    for table in (tables.checkpoints, tables.artifacts):
        yield from connection.execute(select(table.c.path)).yield_per(_FETCH).scalars()
