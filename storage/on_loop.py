"""A commit to PostgreSQL by the event loop itself, which does other work until the answer is there.

A thread that commits beside a busy loop waits for the interpreter's lock when it begins, and again
when the database has answered: a third of a small commit's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from storage import epoch as epochs
from storage.batch import Batch, Wait


class _Waits(Exception):
    """A statement wants an answer before the next one."""


class _Message(Batch):
    """A batch that goes to the database at its end only."""

    def run(self) -> None:
        raise _Waits


async def committed(connection: Connection, epoch: int, fill: Callable[[Connection], None]) -> bool:
    """Store what `fill` writes as `storage.epoch.committed` does, without blocking the loop.

    Returns:
        Whether it was stored: False, and nothing was sent, if `fill` needs answers amid its writes.

    Raises:
        OutcomeUnknown: the connection broke after the commit was sent.
        OwnerLost: the epoch is not the database's.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    sent, message = False, _Message(driver, connection.info)
    connection.begin()
    try:
        with epochs.laid(connection, message, epoch):
            fill(connection)
        sent = True
        for wait in message.exchange():
            await _ready(wait)
    except _Waits:
        connection.rollback()
        return False
    except (psycopg.DatabaseError, DBAPIError) as exc:
        await asyncio.to_thread(epochs.explain, connection, epoch, exc, sent=sent)
        raise
    except BaseException:
        connection.invalidate()
        raise
    connection.commit()
    return True


async def _ready(wait: Wait) -> None:
    """Return when the socket can be read, or written if that is waited for."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(wait.socket, ready.set)
    if wait.sending:
        loop.add_writer(wait.socket, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(wait.socket)
        if wait.sending:
            loop.remove_writer(wait.socket)
