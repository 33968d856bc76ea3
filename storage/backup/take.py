"""Taking a backup: one consistent state in one file, beside whoever owns the database."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from sqlalchemy import URL

from storage.backup import programs
from storage.engine import database_url
from storage.place import copy_database, disk_full, placed
from storage.snapshot import snapshot
from storage.sql_store import translated
from tuner.errors import InvalidInput, Unavailable

_OF_SERVER = "Error message from server"


def backup(url: str, file: Path, *, force: bool = False) -> int:
    """Write what is committed now into `file` and return its size in bytes.

    SQLite is copied by its backup API in one step: in WAL mode that is one read transaction, which
    holds up no commit. The copy is a database in one file. PostgreSQL is dumped by `pg_dump` in its
    custom format, without the owner's row. Checkpoint files are not in it.

    Raises:
        Conflict: `file` exists, and `force` is not set.
        InvalidInput: the URL names no database we can use; `file` can't be written, or is the
            database itself; `pg_dump` is missing or older than the server.
        NotFound: there is no such database file.
        SchemaMismatch: it holds no tables of ours, or those of a newer version.
        StorageFull: the disk is full.
        Unavailable: the database does not answer, or `pg_dump` failed.
    """
    address = database_url(url)
    target = file.absolute()
    with translated(), snapshot(url, older=True) as connection:
        if address.get_backend_name() == "sqlite":
            _refuse_itself(address, target)
            with placed(target, replace=force) as part:
                source = connection.connection.driver_connection
                assert isinstance(source, sqlite3.Connection)
                copy_database(source, part)
        else:
            programs.require("pg_dump", connection)
            with placed(target, replace=force) as part:
                _dump(address, part, target)
    return target.stat().st_size


def _refuse_itself(address: URL, target: Path) -> None:
    own = Path(str(address.database)).absolute()
    beside = {own.with_name(own.name + end) for end in ("", "-wal", "-shm", "-journal", ".lock")}
    if target.resolve() in {path.resolve() for path in beside}:
        raise InvalidInput(f"{target} is the database itself")


def _dump(address: URL, part: Path, target: Path) -> None:
    try:
        programs.run(
            "pg_dump", "--format=custom", "--no-owner", "--no-privileges",
            "--exclude-table-data=tuner_owner", f"--file={part}", url=address,
        )  # fmt: skip
    except Unavailable as exc:
        if os.strerror(errno.ENOSPC) in exc.detail and _OF_SERVER not in exc.detail:
            raise disk_full(target) from None
        raise
