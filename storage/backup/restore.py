"""Putting a backup in a database's place, while no server owns it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.backup import into_postgresql, into_sqlite
from storage.engine import database_url
from storage.migrations import known_revisions
from storage.owner import describe_process, owner_lock
from storage.place import named_when_full
from storage.sql_store import translated
from tuner.errors import InvalidInput, NotFound

_SQLITE = b"SQLite format 3\0"
_POSTGRESQL = b"PGDMP"


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was restored. `outdated` tells that the schema is an older version's."""

    studies: int
    outdated: bool


def restore(url: str, file: Path, *, force: bool = False) -> Restored:
    """Put a backup in the place of a database, whole or not at all.

    The backup is verified before anything is touched. The database's owner from before, leases and
    readers of events are fenced off, see `storage.restored.settle`.

    Raises:
        Conflict: the database holds studies, and `force` is not set; or another program has it
            open.
        InvalidInput: the URL names no database we can use; the file is no backup, is damaged, or is
            one of the other kind of database; PostgreSQL's programs are missing or too old.
        NotFound: there is no such file.
        OwnerLost: a server owns the database; stop it first.
        SchemaMismatch: the backup is of a newer version of the program.
        StorageFull: the disk is full.
        Unavailable: the database does not answer, or `pg_restore` failed.
    """
    address = database_url(url)
    backend = address.get_backend_name()
    _require_kind(file, backend)
    if backend == "sqlite":
        into_sqlite.require_folder(Path(str(address.database)))
    lock = owner_lock(address, describe_process())
    with translated():
        try:
            if backend == "sqlite":
                with named_when_full(Path(str(address.database))):
                    lock.acquire()
                    revision, studies = into_sqlite.restore(address, file, force=force)
            else:
                lock.acquire()
                revision, studies = into_postgresql.restore(address, file, force=force)
        finally:
            lock.release()
    return Restored(studies=studies, outdated=revision != known_revisions()[0])


def _require_kind(file: Path, backend: str) -> None:
    try:
        with file.open("rb") as opened:
            head = opened.read(len(_SQLITE))
    except FileNotFoundError as exc:
        raise NotFound(f"there is no file {file}") from exc
    except OSError as exc:
        raise InvalidInput(f"{file} can't be read: {exc.strerror}") from exc
    if head == _SQLITE:
        kind = "sqlite"
    elif head.startswith(_POSTGRESQL):
        kind = "postgresql"
    else:
        raise InvalidInput(f"{file} is not a backup made by `tuner db backup`")
    if kind != backend:
        raise InvalidInput(
            f"{file} is a backup of a {kind} database, and --db names one of {backend}"
        )
