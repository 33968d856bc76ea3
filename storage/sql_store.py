"""The store on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from storage import epoch as epochs
from storage import on_loop, owner
from storage.changes import Changes
from storage.engine import (
    database_url,
    reading_engine,
    translate,
    writing_engine,
)
from storage.load import load, read_counters
from storage.memory import Counters, Memory
from storage.prune import purge_some
from storage.restored import settle_bare
from storage.schema import prepare
from storage.write import write
from tuner.errors import TunerError

T = TypeVar("T")


class SqlStore:
    """A `storage.store.Store` on Optuna's tables and ours beside them."""

    def __init__(self, url: str, *, optuna: bool = False) -> None:
        """Take the ownership and bring the schema up.

        With `optuna`, memory holds all studies as Optuna sees them, beside the service's own.

        Raises:
            InvalidInput: the URL names no database we can use.
            OwnerLost: another server owns it.
            SchemaMismatch: its tables are those of another version.
            Unavailable: it does not answer.
        """
        self._url = database_url(url)
        self._optuna = optuna
        self._name = owner.describe_process()
        self._lock = owner.owner_lock(self._url, self._name)
        self._writer = writing_engine(self._url)
        self._connected = False
        self._reader = reading_engine(self._url)
        try:
            with translated():
                self._lock.acquire()
                prepare(self._writer, self._url.render_as_string(hide_password=False))
                with self._writer.begin() as connection:
                    settle_bare(connection)
                    self._epoch = epochs.claim(connection, self._name)
                self._lock.hold(self._epoch)
        except BaseException:
            self._dispose()
            raise

    def load(self) -> Memory:
        """Read everything that lives in memory, once no commit of ours is under way.

        What was left of dropped studies goes before.
        """
        with self._writing() as connection, connection.begin():
            epochs.check(connection, self._epoch, alone=True)
            while purge_some(connection):
                pass
            with _without_collector():
                return load(connection, optuna=self._optuna)

    def counters(self) -> Counters:
        """Read the next free ids, counting what other programs wrote."""
        with self._writing() as connection, connection.begin():
            return read_counters(connection)

    def commit(self, changes: Changes) -> None:
        """Store a change set durably, if this process still owns the database."""
        with self._writing() as connection:
            try:
                with epochs.committed(connection, self._epoch):
                    write(connection, changes)
            except Exception:
                _roll_back(connection)
                raise

    async def try_commit(self, changes: Changes) -> bool:
        """Commit a small change set to PostgreSQL on the event loop; see `storage.store.Store`."""
        if self._writer.dialect.name != "postgresql":
            return False
        if not (self._connected and on_loop.is_small(changes)):
            return False
        with self._writing() as connection:
            return await on_loop.committed(connection, self._epoch, lambda c: write(c, changes))

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query beside the writer; callable from any thread."""
        with translated(), self._reader.connect() as connection:
            return query(connection)

    def purge(self) -> bool:
        """Delete some rows of dropped studies; tell whether there are more."""
        with self._writing() as connection, connection.begin():
            epochs.check(connection, self._epoch)
            return purge_some(connection)

    def renew(self) -> None:
        """Look whether the ownership still is ours; where it expires, a thread renews it."""
        with translated():
            self._lock.keep()
            if self._writer.dialect.name == "sqlite":
                with self._writer.begin() as connection:
                    epochs.check(connection, self._epoch)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Give the writer's connection, and note whether it is there for the next one at once."""
        self._connected = False
        with translated(), self._writer.connect() as connection:
            yield connection
            usable = not connection.invalidated
        self._connected = usable

    def close(self) -> None:
        """Give the ownership back and close all connections."""
        self._dispose()

    def _dispose(self) -> None:
        self._reader.dispose()
        self._writer.dispose()
        self._lock.release()


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Spare the collector a million new values that all stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _roll_back(connection: Connection) -> None:
    with contextlib.suppress(SQLAlchemyError):
        connection.rollback()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise what a foreign error means, in its place."""
    try:
        yield
    except TunerError:
        raise
    except Exception as exc:
        raise translate(exc) from exc
