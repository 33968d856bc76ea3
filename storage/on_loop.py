"""A commit to PostgreSQL by the event loop itself, which does other work until the answer is there.

A thread that commits beside a busy loop waits for the interpreter's lock when it begins, and again
when the database has answered: a third of a small commit's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from sqlalchemy import Connection

from storage import epoch as epochs
from storage.batch import Batch, Wait
from storage.changes import Changes
from storage.engine import RETRY_AFTER_S
from storage.store import OutcomeUnknown

MOST_VALUES = 100
"""What a change set may hold to be small: some milliseconds' work."""
_USUAL = frozenset({
    "studies", "trials", "attempts_opened", "attempts_closed", "reports", "checkpoints",
    "held_bytes", "events", "workers", "replies",
})  # fmt: skip
"""What training brings; of the rest there may be much, or the database is asked amid it."""


def is_small(changes: Changes) -> bool:
    """Tell whether the event loop should commit a change set itself."""
    found = {name: value for name, value in vars(changes).items() if value}
    return found.keys() <= _USUAL and sum(map(len, found.values())) <= MOST_VALUES


class _Waits(Exception):
    """A statement wants an answer before the next one."""


class _Message(Batch):
    """A batch that goes to the database at its end only."""

    def run(self) -> None:
        raise _Waits


async def committed(connection: Connection, epoch: int, fill: Callable[[Connection], None]) -> bool:
    """Store what `fill` writes as `storage.epoch.committed` does, without blocking the loop.

    Returns:
        Whether it was stored; if not, nothing was: commit it by `storage.epoch.committed`, which
        asks the database why not. The connection may be gone.

    Raises:
        OutcomeUnknown: all was sent, and the database has not said what became of it.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    message = _Message(driver, connection.info)
    connection.begin()
    try:
        with epochs.laid(connection, message, epoch):
            fill(connection)
    except Exception:
        connection.rollback()
        return False
    try:
        for wait in message.exchange():
            await _ready(wait)
    except BaseException as exc:
        connection.invalidate()
        if isinstance(exc, psycopg.Error) and exc.sqlstate is not None:
            return False
        if isinstance(exc, Exception):
            raise OutcomeUnknown(
                "the connection broke during the commit", retry_after=RETRY_AFTER_S
            ) from exc
        raise
    connection.commit()
    return True


async def _ready(wait: Wait) -> None:
    """Return when the socket can be read, or written if that is waited for."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(wait.socket, ready.set)
        if wait.sending:
            loop.add_writer(wait.socket, ready.set)
        await ready.wait()
    finally:
        loop.remove_reader(wait.socket)
        loop.remove_writer(wait.socket)
