"""Engines: one connection that writes durably, a few that read; and foreign errors translated."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.pool import StaticPool

from storage.batch import keep_order
from storage.store import OutcomeUnknown, RowRefused
from tuner.errors import InvalidInput, StorageFull, TunerError, Unavailable

RETRY_AFTER_S = 1
BUSY_S = 10.0
_ROW_STATES = ("22", "23")
_FULL_STATE = "53100"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def database_url(url: str) -> URL:
    """Return a checked URL; a SQLite file by its real path, whatever links lead to it.

    Raises:
        InvalidInput: it names no SQLite file and no PostgreSQL database.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Without the cause: what it takes for a port may be of the password.
        raise InvalidInput("the database URL can't be read") from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidInput(f"the database is sqlite:///FILE or postgresql://…, not {backend}")
    if parsed.database in (None, "", ":memory:") or "mode=memory" in str(parsed):
        raise InvalidInput("an SQLite database needs a file: sqlite:///FILE")
    return parsed.set(drivername="sqlite", database=str(Path(str(parsed.database)).resolve()))


def writing_engine(url: URL) -> Engine:
    """Return the engine of the one connection that writes."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            poolclass=StaticPool,
            hide_parameters=True,
            connect_args={"timeout": BUSY_S, "check_same_thread": False},
        )
        _set_up_sqlite(engine, begin="BEGIN IMMEDIATE")
        return engine
    engine = create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
        connect_args=_postgres_args() | {"prepare_threshold": None},
    )
    keep_order(engine)
    return engine


def reading_engine(url: URL) -> Engine:
    """Return an engine for queries beside the writer."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            pool_size=4,
            hide_parameters=True,
            connect_args={"timeout": BUSY_S, "check_same_thread": False},
        )
        _set_up_sqlite(engine, begin="BEGIN")
        return engine
    return create_engine(
        url, pool_size=4, pool_pre_ping=True, hide_parameters=True, connect_args=_postgres_args()
    )


def _postgres_args() -> dict[str, Any]:
    return {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "application_name": "tuner",
        "options": "-c synchronous_commit=on -c timezone=UTC -c lock_timeout=15s",
    }


def _set_up_sqlite(engine: Engine, *, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON",
            f"busy_timeout={int(BUSY_S * 1000)}",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def translate(exc: Exception, *, committing: bool = False) -> TunerError:
    """Return what a foreign error means: while the commit itself ran, or before it.

    Before the commit nothing was stored, whatever went wrong.
    """
    if isinstance(exc, TunerError):
        return exc
    origin = exc.orig if isinstance(exc, StatementError) else exc
    state = origin.sqlstate if isinstance(origin, psycopg.Error) else None
    if is_full(origin):
        return StorageFull("the disk is full; nothing was stored", retry_after=RETRY_AFTER_S)
    if committing and _is_unknown(exc, origin, state):
        return OutcomeUnknown("the connection broke during the commit", retry_after=RETRY_AFTER_S)
    if not committing and _is_row(exc, origin, state):
        return RowRefused(f"the database refuses what would be stored{_too_long(origin)}")
    if isinstance(exc, SQLAlchemyError | OSError | psycopg.Error | sqlite3.Error):
        return Unavailable(_why(origin), retry_after=RETRY_AFTER_S)
    return Unavailable("the database call failed", retry_after=RETRY_AFTER_S)


def _too_long(origin: BaseException | None) -> str:
    is_text = isinstance(origin, psycopg.errors.StringDataRightTruncation)
    return ": a name or a key is longer than 512 characters" if is_text else ""


def _why(origin: BaseException | None) -> str:
    if getattr(origin, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return "the file is damaged, or no SQLite database: see `tuner db check`, restore a backup"
    return "the database does not answer"


def is_full(error: BaseException | None) -> bool:
    """Tell whether a foreign error means that a disk is full."""
    origin = error.orig if isinstance(error, StatementError) else error
    if isinstance(origin, OSError):
        return origin.errno == errno.ENOSPC
    if isinstance(origin, psycopg.Error):
        return origin.sqlstate == _FULL_STATE
    return getattr(origin, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _is_unknown(exc: Exception, origin: BaseException | None, state: str | None) -> bool:
    """SQLite rolls a failed commit back, but an I/O error may have come after the write."""
    if isinstance(origin, sqlite3.Error):
        return (origin.sqlite_errorcode & 0xFF) == sqlite3.SQLITE_IOERR
    disconnected = isinstance(exc, DBAPIError) and exc.connection_invalidated
    return disconnected or state is None or state.startswith(("08", "57P"))


def _is_row(exc: Exception, origin: BaseException | None, state: str | None) -> bool:
    if isinstance(origin, sqlite3.IntegrityError | sqlite3.DataError | psycopg.DataError):
        return True
    if isinstance(exc, InterfaceError) and isinstance(origin, sqlite3.Error):
        return True
    if state is not None and state[:2] in _ROW_STATES:
        return True
    return isinstance(origin, ValueError | TypeError | OverflowError | sqlite3.ProgrammingError)
