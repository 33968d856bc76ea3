"""The port behind the ledger: where committed changes go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from storage.changes import Changes
from storage.memory import Counters, Memory
from tuner.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")


class RowRefused(InvalidInput):
    """The database refuses a row of the change set; nothing was stored."""


class OutcomeUnknown(Unavailable):
    """The connection broke during the commit: all of it was stored, or nothing."""


class Store(Protocol):
    """Keeps what the ledger commits.

    Guarantees: a change set is stored whole or not at all; it is stored durably when `commit`
    returns; only one store at a time can commit to a database. All methods but `try_commit`
    block; all but `read` are called one at a time, from any thread.
    """

    def load(self) -> Memory:
        """Read everything that lives in memory. Raises Unavailable."""

    def commit(self, changes: Changes) -> None:
        """Store a change set durably.

        Raises:
            RowRefused: a row breaks a rule of the database; nothing was stored.
            OutcomeUnknown: whether it was stored is not known; load again.
            StorageFull: the disk is full; nothing was stored.
            OwnerLost: another process owns the database now; nothing was stored.
            Unavailable: anything else; nothing was stored.
        """

    async def try_commit(self, changes: Changes) -> bool:
        """Commit without blocking the event loop, where that is possible; else return False.

        Raises as `commit` does; when False is returned, nothing was stored.
        """

    def counters(self) -> Counters:
        """Read the next free ids, counting what other programs wrote. Raises Unavailable."""

    def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query beside the writer; callable from any thread. Raises Unavailable."""

    def purge(self) -> bool:
        """Delete some rows of dropped studies; tell whether there are more.

        Raises OwnerLost, Unavailable.
        """

    def renew(self) -> None:
        """Keep the ownership from expiring. Raises OwnerLost, Unavailable."""

    def close(self) -> None:
        """Give the ownership back and close all connections."""


class NullStore:
    """A store that keeps nothing."""

    def load(self) -> Memory:
        """Return an empty memory."""
        return Memory()

    def commit(self, changes: Changes) -> None:
        """Forget the change set."""

    async def try_commit(self, changes: Changes) -> bool:
        """Leave it to `commit`."""
        return False

    def counters(self) -> Counters:
        """Return the first ids: there is no other writer."""
        return Counters()

    def read(self, query: Callable[[Connection], T]) -> T:
        """Refuse: nothing is kept that could be read. Raises Unavailable."""
        raise Unavailable("this ledger keeps nothing that can be queried")

    def purge(self) -> bool:
        """Return that there is nothing to delete."""
        return False

    def renew(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
