"""A backup in the place of an SQLite file: written beside it, then renamed over it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, NullPool, create_engine, func, select
from sqlalchemy.exc import DatabaseError

from storage.check.engines import broken_constraints
from storage.engine import is_full
from storage.place import placed
from storage.restored import Former, former, settle
from storage.snapshot import looking_engine, require_known, revision_of
from storage.tables import optuna_studies
from tuner.errors import Conflict, InvalidInput

_PATIENCE_S = 2.0
_BESIDE = ("-wal", "-shm", "-journal")


def require_folder(target: Path) -> None:
    """Make sure that a database can lie there. Raises InvalidInput."""
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"the folder {target.absolute().parent} does not exist")
    if target.exists() and not target.is_file():
        raise InvalidInput(f"{target} is not a file")


def restore(address: URL, file: Path, *, force: bool) -> tuple[str, int]:
    """Return the backup's revision and its number of studies, once it is in place.

    The caller holds the owner's lock.
    """
    target = Path(str(address.database)).absolute()
    before = _former(target)
    if not force and not before.empty:
        raise Conflict(f"{target} holds studies already; give --force to replace them")
    _refuse_open(file)
    with placed(target, replace=True) as part:
        shutil.copyfile(file, part)
        found = _prepare(part, file, before)
        _let_go(target)
    return found


def _former(target: Path) -> Former:
    """Look at what would be replaced. What can't be read is not empty."""
    if not target.exists() or target.stat().st_size == 0:
        return Former(empty=True)
    engine = looking_engine(URL.create("sqlite", database=str(target)))
    try:
        with engine.connect() as connection:
            return former(connection)
    except DatabaseError:
        return Former(empty=False)
    finally:
        engine.dispose()


def _refuse_open(file: Path) -> None:
    wal = file.with_name(f"{file.name}-wal")
    if wal.exists() and wal.stat().st_size:
        raise InvalidInput(
            f"{wal} lies beside {file}: that is a database in use and no backup; "
            "make one with `tuner db backup`"
        )


def _prepare(part: Path, file: Path, before: Former) -> tuple[str, int]:
    """Verify the copy of a backup and fence off who worked with the state before."""
    engine = create_engine(URL.create("sqlite", database=str(part)), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
            if damage := next(broken_constraints(connection), None):
                raise InvalidInput(f"{file} is damaged: {damage.message}")
            revision = require_known(revision_of(connection))
            connection.rollback()
        with engine.begin() as connection:
            settle(connection, before)
            studies = connection.execute(select(func.count(optuna_studies.c.study_id))).scalar_one()
    except DatabaseError as exc:
        if is_full(exc):
            raise
        raise InvalidInput(f"{file} is damaged: {exc.orig}") from exc
    finally:
        engine.dispose()
    return revision, studies


def _let_go(target: Path) -> None:
    """Fold the old file's last commits into it, and take away what would be read as the new one's.

    Raises:
        Conflict: another program has it open.
    """
    if target.exists():
        try:
            with closing(sqlite3.connect(target, timeout=_PATIENCE_S)) as old:
                old.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as exc:
            if (exc.sqlite_errorcode & 0xFF) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise Conflict(
                f"another program has {target} open (optuna-dashboard, sqlite3?); close it first"
            ) from exc
        except sqlite3.DatabaseError:
            pass  # it is damaged, and goes
    for end in _BESIDE:
        target.with_name(f"{target.name}{end}").unlink(missing_ok=True)
