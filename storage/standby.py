"""Waiting for a database that another server owns, until it may be taken over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL

from storage import epoch as epochs
from storage.engine import database_url
from storage.owner import OWNING, FileLock, describe_process, end_owner, lock_engine, locked_by
from storage.schema import require_fit
from storage.sql_store import translated
from tuner.errors import OwnerLost

POLL_S = 0.5
"""Time between two looks."""
UNLOCKED_S = 3.0
"""Silence after which an owner whose lock is free counts as gone: two renewals did not come."""
_LONGEST_STEP_S = 2 * POLL_S
_BUSY = "a process that starts on this database, upgrades or restores it"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at a PostgreSQL database found: the owner, and whose session holds its lock."""

    owner: epochs.Owner | None
    locked_by: str | None


class Silence:
    """Judges when an owner is gone, by a clock of its own.

    Only time between looks that found nothing new counts, and of a long pause between two looks
    (the database was away, this process was stopped) only little: clocks that are set, and stalls
    on this side, make nobody look dead.
    """

    def __init__(self) -> None:
        self._state: tuple[int, datetime] | None = None
        self._at = 0.0
        self._silent_s = 0.0

    def is_free(self, look: Look, now: float) -> bool:
        """Tell whether the database may be taken. `now` is monotonic, in seconds."""
        owner = look.owner
        if look.locked_by not in (None, OWNING):
            return False
        if owner is None or owner.left:
            return look.locked_by is None
        state = (owner.epoch, owner.expires_at)
        if state == self._state:
            self._silent_s += min(now - self._at, _LONGEST_STEP_S)
        else:
            self._silent_s = 0.0
        self._state, self._at = state, now
        return self._silent_s >= (UNLOCKED_S if look.locked_by is None else epochs.TERM_S)


class Watch(Protocol):
    """Looks at a database from beside its owner. All methods block."""

    def look(self) -> str | None:
        """Return who owns the database, None once it may be taken over. Raises Unavailable."""

    def close(self) -> None:
        """Close what was opened."""


def watch(url: str) -> Watch:
    """Return a watch over a database.

    Raises:
        InvalidInput: the URL names no database we can use.
        SchemaMismatch: its tables are those of another version.
        Unavailable: it does not answer.
    """
    address = database_url(url)
    if address.get_backend_name() == "sqlite":
        return FileWatch(Path(str(address.database)))
    return RowWatch(address)


class FileWatch:
    """Watches an SQLite database, whose lock the kernel frees at its owner's end."""

    def __init__(self, database: Path) -> None:
        self._lock = FileLock(database, describe_process())

    def look(self) -> str | None:
        """Return who owns the database, None once its lock is free."""
        try:
            self._lock.acquire()
        except OwnerLost as exc:
            return str(exc.extra["holder"])
        self._lock.release()
        return None

    def close(self) -> None:
        """Do nothing."""


class RowWatch:
    """Watches a PostgreSQL database: its owner's row, and the lock."""

    def __init__(self, url: URL) -> None:
        self._engine = lock_engine(url, "tuner-standby")
        self._silence = Silence()
        with translated():
            require_fit(self._engine)

    def look(self) -> str | None:
        """Return who owns the database, None once that one is gone; a hung one loses its lock."""
        with translated(), self._engine.connect() as session:
            look = Look(owner=epochs.current(session), locked_by=locked_by(session))
            if self._silence.is_free(look, time.monotonic()):
                if look.owner is not None:
                    end_owner(session, look.owner.epoch)
                return None
        return look.owner.name if look.owner is not None and not look.owner.left else _BUSY

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()
