"""The right to write to a database: a lock against a second server, an epoch against a late one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from sqlalchemy import URL, Connection, NullPool, create_engine, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from storage.tables import owner
from tuner.errors import InvalidInput, OwnerLost

LEASE_S = 30.0
_PATIENCE_S = 2.0
_POLL_S = 0.05
_ADVISORY_KEY = int.from_bytes(b"tuner-db", "big")


class OwnerLock(Protocol):
    """Keeps a second server from starting on the same database."""

    def acquire(self) -> None:
        """Take the lock. Raises OwnerLost, saying who holds it."""

    def keep(self) -> None:
        """Take the lock again if it was lost with its connection. Raises OwnerLost."""

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
        self._path = database.with_name(f"{database.name}.lock")
        self._name = name
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises OwnerLost, InvalidInput if the folder does not exist."""
        if not self._path.parent.is_dir():
            raise InvalidInput(f"the folder {self._path.parent} does not exist")
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise OwnerLost(f"{holder} owns this database already", holder=holder) from exc
        file.truncate(0)
        file.write(self._name + "\n")
        file.flush()
        self._file = file

    def keep(self) -> None:
        """Do nothing: a file lock lives as long as its process."""

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two servers lock two files."""
        if self._file is not None:
            self._file.close()
            self._file = None


class AdvisoryLock:
    """PostgreSQL's advisory lock, held by a session of its own."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": 5, "application_name": "tuner-owner"},
        )  # fmt: skip
        self._session: Connection | None = None

    def acquire(self) -> None:
        """Take the lock; from an owner that stopped renewing, by ending its session."""
        session = self._engine.connect()
        try:
            self._take(session)
        except BaseException:
            session.close()
            raise
        self._session = session

    def _take(self, session: Connection) -> None:
        if self._wait(session):
            return
        if (holder := _unexpired_holder(session)) is not None:
            raise OwnerLost(f"{holder} owns this database already", holder=holder)
        session.execute(_END_HOLDER, {"key": _ADVISORY_KEY})
        if not self._wait(session):
            raise OwnerLost("another session holds this database's lock and can't be ended")

    def _wait(self, session: Connection) -> bool:
        """Try for a while: the session of a process that was killed lives a moment longer."""
        query = select(func.pg_try_advisory_lock(_ADVISORY_KEY))
        deadline = time.monotonic() + _PATIENCE_S
        while not session.execute(query).scalar():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def keep(self) -> None:
        """Make sure that the session lives, else take the lock in a new one. Raises OwnerLost."""
        if self._session is not None:
            try:
                self._session.execute(text("SELECT 1"))
            except DBAPIError:
                self._drop()
        if self._session is None:
            self.acquire()

    def release(self) -> None:
        """Give the lock back."""
        self._drop()
        self._engine.dispose()

    def _drop(self) -> None:
        if self._session is not None:
            with contextlib.suppress(DBAPIError):
                self._session.close()
            self._session = None


_END_HOLDER = text(
    """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = :key
    """
)


def _unexpired_holder(session: Connection) -> str | None:
    if session.execute(text("SELECT to_regclass('tuner_owner')")).scalar() is None:
        return "another process"
    query = select(owner.c.name).where(owner.c.id == 1, owner.c.expires_at > _now(session))
    return session.execute(query).scalar()


def describe_process() -> str:
    """Return who this process is, for the message that a second server gives."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} (since {since})"


def claim(connection: Connection, name: str) -> int:
    """Make this process the owner and return its epoch; commits of earlier owners are refused."""
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


def check(connection: Connection, epoch: int, *, alone: bool = False) -> None:
    """Lock the owner's row for this transaction and compare the epoch. Raises OwnerLost.

    With `alone`, wait until no commit of ours is under way any more.
    """
    query = select(owner.c.epoch, owner.c.name).where(owner.c.id == 1)
    row = connection.execute(query.with_for_update(read=not alone)).one_or_none()
    if row is None or row.epoch != epoch:
        holder = row.name if row is not None else "another process"
        raise OwnerLost(f"{holder} took over this database", holder=holder)


def extend(connection: Connection, epoch: int) -> None:
    """Let the ownership last `LEASE_S` from now, by the database's clock. Raises OwnerLost."""
    mine = update(owner).where(owner.c.id == 1, owner.c.epoch == epoch)
    if connection.execute(mine.values(expires_at=_until(connection))).rowcount != 1:
        raise OwnerLost("another process took over this database")


def vacate(connection: Connection, epoch: int) -> None:
    """Let the ownership end now."""
    mine = update(owner).where(owner.c.id == 1, owner.c.epoch == epoch)
    connection.execute(mine.values(expires_at=_now(connection)))


def _now(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        return func.timezone("utc", func.clock_timestamp())
    return func.datetime("now")


def _until(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        seconds = func.make_interval(0, 0, 0, 0, 0, 0, LEASE_S)
        return func.timezone("utc", func.clock_timestamp()) + seconds
    return func.datetime("now", f"+{int(LEASE_S)} seconds")
