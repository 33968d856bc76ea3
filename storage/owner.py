"""The lock that keeps a second server from a database, and who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from storage import epoch as epochs
from tuner.errors import InvalidInput, OwnerLost

RENEW_S = 1.0
"""Time between two renewals of an owner's term on PostgreSQL."""
STARTING = "tuner-lock"
"""Name of the session that holds the lock for a server that starts, an upgrade or a restore."""
OWNING = "tuner-owner"
"""Its name once the database is owned: from then on its row has to be renewed."""
_AGAIN_S = 0.5
_PATIENCE_S = 2.0
_POLL_S = 0.05
_ADVISORY_KEY = int.from_bytes(b"tuner-db", "big")
_SESSION = {
    "connect_timeout": 3,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 4_000,
    # A lost renewal costs nothing, so none waits for the disk. The database drops the session of a
    # host that is gone within seconds.
    "options": "-c timezone=UTC -c synchronous_commit=off -c statement_timeout=4s"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
}

_log = logging.getLogger(__name__)


class OwnerLock(Protocol):
    """Keeps a second server from starting on the same database."""

    def acquire(self) -> None:
        """Take the lock. Raises OwnerLost, saying who holds it."""

    def hold(self, epoch: int) -> None:
        """Own the database from now on, renewing the term where it ends by itself."""

    def keep(self) -> None:
        """Do nothing while the database is owned. Raises OwnerLost."""

    def release(self) -> None:
        """Give the lock back."""


def owner_lock(url: URL, name: str) -> OwnerLock:
    """Return the lock of a database, not yet taken. `name` is told to who comes second."""
    if url.get_backend_name() == "sqlite":
        return FileLock(Path(str(url.database)), name)
    return AdvisoryLock(url)


class FileLock:
    """A lock on the file beside an SQLite database; the kernel frees it with its process."""

    def __init__(self, database: Path, name: str) -> None:
        self._database = database
        self._path = database.with_name(f"{database.name}.lock")
        self._name = name
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises OwnerLost, InvalidInput if the folder does not exist."""
        if not self._path.parent.is_dir():
            raise InvalidInput(f"the folder {self._path.parent} does not exist")
        while self._file is None:
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                file.close()
                raise OwnerLost(f"{holder} owns this database already", holder=holder) from None
            if self._is_there(file):
                self._file = file
            else:
                file.close()
        self._file.truncate(0)
        self._file.write(self._name + "\n")
        self._file.flush()

    def _is_there(self, file: IO[str]) -> bool:
        """Tell whether an open file is still the one beside the database."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def hold(self, epoch: int) -> None:
        """Do nothing: a file lock lives as long as its process."""

    def keep(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Give the lock back. Its file goes where no database came to be, and stays beside one."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if not self._database.exists():
                    self._path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


class AdvisoryLock:
    """PostgreSQL's advisory lock, held by a session of its own.

    Once it holds the database, a thread renews the owner's term through this session, so that
    neither a busy event loop nor a long commit keeps a renewal waiting. The row decides who owns
    the database: a lock that was lost with its connection is taken again, from an earlier session
    of ours that lingers if need be.
    """

    def __init__(self, url: URL) -> None:
        self._engine = lock_engine(url, STARTING)
        self._session: Connection | None = None
        self._locked = False
        self._epoch: int | None = None
        self._lost: OwnerLost | None = None
        self._leaving = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name="owner", daemon=True)

    def acquire(self) -> None:
        """Take the lock; from an owner that stopped renewing, by ending its session.

        What earlier owners are committing then is ended, too: a hung one would keep its row locked.
        """
        session = self._engine.connect()
        try:
            _take(session)
            session.execute(_END_COMMITS)
        except BaseException:
            session.close()
            raise
        self._session, self._locked = session, True

    def hold(self, epoch: int) -> None:
        """Own the database from now on, and renew the term every `RENEW_S` seconds."""
        assert self._session is not None
        _rename(self._session)
        self._epoch = epoch
        self._renewer.start()

    def keep(self) -> None:
        """Do nothing while the term is renewed. Raises OwnerLost."""
        if self._lost is not None:
            raise OwnerLost(self._lost.detail, **self._lost.extra)

    def release(self) -> None:
        """Give the lock back, and let the term end at once."""
        self._leaving.set()
        if self._epoch is not None:
            self._renewer.join()
            with contextlib.suppress(SQLAlchemyError):
                epochs.vacate(self._connected(), self._epoch)
        self._drop()
        self._engine.dispose()

    def _renew(self) -> None:
        assert self._epoch is not None
        while not self._leaving.wait(RENEW_S if self._session is not None else _AGAIN_S):
            try:
                session = self._connected()
                epochs.extend(session, self._epoch)
                self._locked = self._locked or _take_again(session, self._epoch)
            except OwnerLost as exc:
                self._lost = exc
                return
            except SQLAlchemyError as exc:
                if self._session is not None:
                    _log.warning("the ownership could not be renewed: %s", _first_line(exc))
                self._drop()

    def _connected(self) -> Connection:
        if self._session is None:
            self._session, self._locked = self._engine.connect(), False
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            with contextlib.suppress(DBAPIError):
                self._session.close()
            self._session = None


def lock_engine(url: URL, name: str) -> Engine:
    """Return an engine for sessions of this name whose statements are short and not grouped."""
    return create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT",
        connect_args={**_SESSION, "application_name": name},
    )  # fmt: skip


def locked_by(session: Connection) -> str | None:
    """Return the name of the session that holds the lock, None while it is free."""
    name: str | None = session.execute(_HOLDER, {"key": _ADVISORY_KEY}).scalar()
    return name


def end_owner(session: Connection, epoch: int) -> None:
    """End the session that holds the lock for the owner of this epoch, if it still owns it."""
    session.execute(_END_OWNER, {"key": _ADVISORY_KEY, "name": OWNING, "epoch": epoch})


def _take(session: Connection) -> None:
    """Take the lock, waiting a moment: the session of a killed process lives a little longer."""
    deadline = time.monotonic() + _PATIENCE_S
    while not _try(session):
        holder = epochs.current(session)
        if holder is not None and holder.expired:
            end_owner(session, holder.epoch)
        if time.monotonic() > deadline:
            raise _held(holder)
        time.sleep(_POLL_S)


def _held(holder: epochs.Owner | None) -> OwnerLost:
    if holder is not None and not holder.expired:
        return OwnerLost(f"{holder.name} owns this database already", holder=holder.name)
    what = "a process that starts on this database, upgrades or restores it"
    return OwnerLost(f"{what} holds its lock", holder=what)


def _take_again(session: Connection, epoch: int) -> bool:
    """Take the lock that our epoch entitles us to; who is starting meanwhile may keep it."""
    if not _try(session):
        end_owner(session, epoch)
        return False
    _rename(session)
    return True


def _try(session: Connection) -> bool:
    return bool(session.execute(select(func.pg_try_advisory_lock(_ADVISORY_KEY))).scalar())


def _first_line(exc: SQLAlchemyError) -> str:
    return str(exc.args[0] if exc.args else exc).splitlines()[0]


def _rename(session: Connection) -> None:
    session.execute(text(f"SET application_name = '{OWNING}'"))


_OF_LOCK = """
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = :key
"""
_HOLDER = text(f"SELECT coalesce(application_name, '') {_OF_LOCK}")
_END_OWNER = text(
    f"SELECT pg_terminate_backend(pid) {_OF_LOCK} AND application_name = :name"  # noqa: S608
    " AND EXISTS (SELECT FROM tuner_owner WHERE id = 1 AND epoch = :epoch)"
)
# Who commits has locked rows of the owner's table; who reads or dumps it has not.
_END_COMMITS = text(
    """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'relation' AND granted AND mode IN ('RowShareLock', 'RowExclusiveLock')
      AND relation = to_regclass('tuner_owner') AND pid <> pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)


def describe_process() -> str:
    """Return who this process is, for the message that a second server gives."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} (since {since})"
