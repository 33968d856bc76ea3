"""The owner's row: the epoch that fences earlier owners, and the term that a renewal extends.

A commit locks the row `FOR KEY SHARE`, which renewals pass and a claim's `FOR UPDATE` waits for.
The claim must take that lock before it updates: PostgreSQL lets a key share lock see the row as it
was before an update of other columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, func, inspect, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from storage.batch import Batch, gathering
from storage.engine import translate
from storage.tables import owner
from tuner.errors import OwnerLost

TERM_S = 5.0
"""How long an owner on PostgreSQL may go without a renewal."""
_MINE = owner.c.id == 1
LOCKED = (
    b"SELECT 1 / coalesce("
    b"(SELECT (epoch = $1::int)::int FROM tuner_owner WHERE id = 1 FOR KEY SHARE), 0)"
)
"""Locks the row, or fails: what follows in the batch is then skipped by the database."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who owns a database, or owned it last. `expired` is by the database's clock."""

    epoch: int
    name: str
    expires_at: datetime
    left: bool
    expired: bool


def current(connection: Connection) -> Owner | None:
    """Return the owner, None before there was one."""
    if not inspect(connection).has_table(owner.name):
        return None
    query = select(owner, (owner.c.expires_at <= _now(connection)).label("expired")).where(_MINE)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    left = row.expires_at <= row.since
    return Owner(
        epoch=row.epoch, name=row.name, expires_at=row.expires_at, left=left, expired=row.expired
    )


def claim(connection: Connection, name: str) -> int:
    """Make this process the owner and return its epoch; commits of earlier owners are refused.

    Waits until those under way are over.
    """
    connection.execute(select(owner.c.epoch).where(_MINE).with_for_update())
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    now, until = _now(connection), _until(connection)
    insert: Any = dialect.insert(owner)
    first = insert.values(id=1, epoch=1, name=name, since=now, expires_at=until)
    claimed = first.on_conflict_do_update(
        index_elements=[owner.c.id],
        set_={"epoch": owner.c.epoch + 1, "name": name, "since": now, "expires_at": until},
    ).returning(owner.c.epoch)
    epoch: int = connection.execute(claimed).scalar_one()
    return epoch


@contextmanager
def committed(connection: Connection, epoch: int) -> Iterator[None]:
    """Run a block in a transaction of the owner's, whose row is locked before, and commit.

    PostgreSQL is sent the lock, the block's statements and the commit in one go: it skips all that
    follows a failure, so that nothing is stored unless the epoch is ours and each row was taken.

    Raises:
        OutcomeUnknown: the connection broke after the commit was sent.
        OwnerLost: the epoch is not the database's.
    """
    connection.begin()
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        check(connection, epoch)
        yield
        _commit(connection)
        return
    sent, batch = False, Batch(driver, connection.info)
    try:
        with laid(connection, batch, epoch):
            yield
        sent = True
        batch.run()
    except (psycopg.DatabaseError, DBAPIError) as exc:
        if sent and driver.closed:
            raise translate(exc, committing=True) from exc
        connection.rollback()
        check(connection, epoch)
        raise
    connection.commit()


@contextmanager
def laid(connection: Connection, batch: Batch, epoch: int) -> Iterator[None]:
    """Lay the lock of the owner's row, a block's statements and the commit into a batch."""
    batch.add(b"BEGIN")
    batch.add(LOCKED, [b"%d" % epoch])
    with gathering(connection, batch):
        yield
    batch.add(b"COMMIT")


def _commit(connection: Connection) -> None:
    try:
        connection.commit()
    except Exception as exc:
        raise translate(exc, committing=True) from exc


def check(connection: Connection, epoch: int, *, alone: bool = False) -> None:
    """Lock the owner's row for this transaction and compare the epoch. Raises OwnerLost.

    With `alone`, wait until no commit of ours is under way any more.
    """
    query = select(owner.c.epoch, owner.c.name).where(_MINE)
    query = query.with_for_update() if alone else query.with_for_update(read=True, key_share=True)
    _compare(connection.execute(query).one_or_none(), epoch)


def _compare(row: Sequence[Any] | None, epoch: int) -> None:
    found, name = row if row is not None else (None, None)
    if found != epoch:
        raise taken_over(name)


def extend(connection: Connection, epoch: int) -> None:
    """Let the ownership last `TERM_S` from now, by the database's clock. Raises OwnerLost."""
    mine = update(owner).where(_MINE, owner.c.epoch == epoch)
    if connection.execute(mine.values(expires_at=_until(connection))).rowcount != 1:
        holder = current(connection)
        raise taken_over(holder.name if holder is not None else None)


def vacate(connection: Connection, epoch: int) -> None:
    """Let the ownership end now, and say so: it expires when it began."""
    mine = update(owner).where(_MINE, owner.c.epoch == epoch)
    connection.execute(mine.values(expires_at=owner.c.since))


def taken_over(holder: str | None) -> OwnerLost:
    """Return the error of an owner whose epoch was passed by another."""
    holder = holder or "another process"
    return OwnerLost(f"{holder} took over this database", holder=holder, retry_after=1)


def _now(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        return func.timezone("utc", func.clock_timestamp())
    return func.datetime("now")


def _until(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        seconds = func.make_interval(0, 0, 0, 0, 0, 0, TERM_S)
        return func.timezone("utc", func.clock_timestamp()) + seconds
    return func.datetime("now", f"+{int(TERM_S)} seconds")
