"""What a restored database must not take over from the state it was taken in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, func, inspect, select, update

from storage import rows
from storage.bulk import insert_rows
from storage.numbers import highest_seq, note_seq
from storage.tables import attempts, events, optuna_studies, owner, sessions, stores, studies
from storage.unnamed import restored_lease
from tuner.trial import Event, EventKind

SEQ_GAP = 1_000_000_000
"""What event numbers leap by at a restore: more than a server gives between two backups."""


@dataclass(frozen=True, kw_only=True)
class Former:
    """What is known of the state that is replaced: its last owner's epoch, its last event."""

    empty: bool
    epoch: int = 0
    seq: int = 0


def former(connection: Connection) -> Former:
    """Look at a database that may hold nothing, or something else than ours."""
    tables = set(inspect(connection).get_table_names())
    if optuna_studies.name not in tables:
        return Former(empty=not tables)
    some = connection.execute(select(optuna_studies.c.study_id).limit(1)).first()
    if not {owner.name, events.name} <= tables:
        return Former(empty=some is None)
    epoch = _highest(connection, owner.c.epoch)
    return Former(empty=some is None, epoch=epoch, seq=highest_seq(connection))


def _highest(connection: Connection, column: ColumnElement[int]) -> int:
    return connection.execute(select(func.max(column))).scalar() or 0


def settle_bare(connection: Connection) -> None:
    """Settle a restored database that no one has settled yet: it has studies and no owner's row.

    So it is when a restore on PostgreSQL was killed at its end, or done by `pg_restore` alone.
    """
    if connection.execute(select(owner.c.id).limit(1)).first() is not None:
        return
    if connection.execute(select(studies.c.study_id).limit(1)).first() is not None:
        settle(connection, Former(empty=False))


def settle(connection: Connection, before: Former) -> None:
    """Fence off whoever worked with the state before: owner, leases, readers of events.

    - The owner's epoch gets higher than any before it: it follows the clock, as the former state,
      where it is lost, can't be asked for its own.
    - Open attempts get new tokens, which no one knows: each lease from before is answered as stale,
      and its trial is leased again once a lease's term is over. Their logs stay theirs.
    - Browsers log in anew: a session may have been ended since.
    - Stores of files are no longer this database's to sweep: they may be another one's, too.
    - Each study gets an event, numbered beyond all that a reader can have seen.
    """
    epoch = max(_highest(connection, owner.c.epoch), before.epoch, int(time.time())) + 1
    now = datetime.now(UTC)
    at = rows.naive(now)
    connection.execute(owner.delete())
    for table in (stores, sessions):
        if inspect(connection).has_table(table.name):
            connection.execute(table.delete())
    row = {"id": 1, "epoch": epoch, "name": "a restore", "since": at, "expires_at": at}
    insert_rows(connection, owner, [row])
    held = select(attempts.c.trial_id, attempts.c.attempt, attempts.c.token)
    held = held.where(attempts.c.ended_at.is_(None))
    for trial_id, attempt, token in connection.execute(held).all():
        connection.execute(
            update(attempts)
            .where(attempts.c.trial_id == trial_id, attempts.c.attempt == attempt)
            .values(token=restored_lease(token))
        )
    last = max(highest_seq(connection), before.seq)
    found = connection.execute(select(studies.c.study_id).order_by(studies.c.study_id)).scalars()
    told = [
        Event(study_id=i, kind=EventKind.RESTORED, at=now, seq=last + SEQ_GAP + n, data={})
        for n, i in enumerate(found.all())
    ]
    insert_rows(connection, events, [rows.event_row(e) for e in told])
    note_seq(connection, least=last + SEQ_GAP)
