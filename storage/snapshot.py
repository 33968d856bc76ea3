"""A database as it stands at one moment, read beside whoever owns it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError

from storage.engine import BUSY_S, database_url
from storage.migrations import known_revisions
from storage.schema import VERSION_TABLE
from storage.sql_store import translated
from tuner.errors import InvalidInput, NotFound, SchemaMismatch


@contextmanager
def snapshot(url: str, *, older: bool = False) -> Iterator[Connection]:
    """Yield a connection in one read transaction that sees no later commit.

    With `older`, an older version's tables will do.

    On SQLite the file beside the database that holds new commits (`-wal`) can't be reset while the
    transaction is open.

    Raises:
        InvalidInput: the URL names no database we can use, or the file is no database.
        NotFound: there is no such file.
        SchemaMismatch: it holds no tables of ours, or those of another version.
        Unavailable: it does not answer.
    """
    address = database_url(url)
    engine = looking_engine(address)
    try:
        with translated(), engine.connect() as connection:
            if older:
                require_known(revision_of(connection))
            else:
                require_schema(connection)
            yield connection
    finally:
        engine.dispose()


def looking_engine(url: URL) -> Engine:
    """Return an engine that creates nothing and changes nothing. Raises NotFound."""
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(Path(str(url.database)))
    return create_engine(
        url,
        poolclass=NullPool,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
        connect_args={"connect_timeout": 5, "application_name": "tuner-look"},
    )


def _sqlite_engine(file: Path) -> Engine:
    if not file.is_file():
        raise NotFound(f"there is no database {file}")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(file.absolute()))}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only=ON")
        connection.exec_driver_sql("BEGIN")

    return engine


def require_schema(connection: Connection) -> str:
    """Return the database's revision, which is this program's.

    Raises:
        InvalidInput: the file is no SQLite database.
        SchemaMismatch: it holds no tables of ours, or those of another version.
    """
    found, head = require_known(revision_of(connection)), known_revisions()[0]
    if found != head:
        raise SchemaMismatch(
            f"the database has schema {found}, this program needs {head}: run `tuner db upgrade`"
        )
    return found


def require_known(revision: str | None) -> str:
    """Return a revision that this program knows, be it an older one.

    Raises:
        SchemaMismatch: there is none, or it is a newer program's.
    """
    if revision is None:
        raise SchemaMismatch("the database holds no tables of tuner")
    if revision not in known_revisions():
        raise SchemaMismatch(
            f"the database has schema {revision}, which this program does not know: "
            "it was written by a newer version of tuner; install that one"
        )
    return revision


def revision_of(connection: Connection) -> str | None:
    """Return the revision of our tables, None without any. Raises InvalidInput."""
    try:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        query = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
        revision: str | None = connection.execute(query).scalar()
    except DatabaseError as exc:
        if getattr(exc.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise InvalidInput("the file is not an SQLite database") from exc
        raise
    return revision
