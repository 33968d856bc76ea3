"""The ledger: gathers commands, decides them on an overlay, commits them together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import select

from storage.calls import (
    RETRY_AFTER_S,
    Call,
    Command,
    Decided,
    again,
    answer,
    decide,
    unavailable,
)
from storage.changes import Changes, Committed
from storage.memory import Memory
from storage.merge import apply, seal
from storage.store import OutcomeUnknown, RowRefused, Store
from storage.transaction import Transaction
from tuner.errors import OwnerLost, StorageFull, TunerError, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")
Subscriber = Callable[[Committed], None]
OnCommit = Callable[[int, float], None]

LARGEST_BATCH = 5_000
MOST_WAITING = 20_000
RENEW_S = 1.0
PURGE_PAUSE_S = 0.02

_log = logging.getLogger(__name__)


class Ledger:
    """The one way to change what is stored.

    Guarantees: a reply leaves after the commit that holds its changes; a command's changes are
    stored whole or not at all; commands of one ledger are decided one after the other, each seeing
    those before it; `memory` holds committed values only.
    """

    def __init__(self, store: Store, memory: Memory, executor: Executor) -> None:
        self.memory = memory
        """What is committed; read it freely on the event loop, never change it."""
        self.most_waiting = MOST_WAITING
        """Commands that may wait for a batch; while so many do, further ones are refused."""
        self.on_commit: OnCommit = lambda commands, seconds: None
        """Called on the event loop after each commit: commands in it, seconds it took."""
        self._store = store
        self._executor = executor
        self._pending: list[Call[Any]] = []
        self._work = asyncio.Event()
        self._dropped = asyncio.Event()
        self._closing = False
        self._lost: TunerError | None = None
        self._stale = False
        self._turn = asyncio.Lock()
        self._failing: type[TunerError] | None = None
        self._subscribers: list[Subscriber] = []
        self._ping: asyncio.Task[None] | None = None
        self._tasks = (
            asyncio.create_task(self._run(), name="ledger"),
            asyncio.create_task(self._renew(), name="ledger-owner"),
            asyncio.create_task(self._purge(), name="ledger-purge"),
        )

    @property
    def lost(self) -> TunerError | None:
        """Why nothing can be written any more, None while the database is owned."""
        return self._lost

    @property
    def waiting(self) -> int:
        """How many commands wait for a batch."""
        return len(self._pending)

    @property
    def is_overloaded(self) -> bool:
        """Whether further commands are refused for now."""
        return len(self._pending) >= self.most_waiting

    async def write(self, command: Command[T]) -> T:
        """Run a command in the next batch and return its reply after the commit; see `submit`."""
        return await self.submit(command)

    def submit(self, command: Command[T]) -> asyncio.Future[T]:
        """Hand a command to the next batch; the future gets its reply after the commit.

        Call it on the event loop.

        Raises:
            Unavailable: too many commands wait, or the commit failed; nothing was stored, unless
                the commit's outcome is unknown.
            StorageFull: the disk is full; nothing was stored.
            OwnerLost: another process owns the database; the ledger has stopped.
            InvalidInput: the database refuses a row of this command; nothing was stored.
            Exception: what the command raised; its changes were undone.
        """
        reply: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if (refusal := self._refusal()) is not None:
            reply.set_exception(refusal)
            return reply
        self._pending.append(Call(command=command, reply=reply))
        self._work.set()
        return reply

    def _refusal(self) -> TunerError | None:
        if self._lost is not None:
            return again(self._lost)
        if self._closing:
            return Unavailable("the server is stopping", retry_after=RETRY_AFTER_S)
        if self.is_overloaded:
            return Unavailable("the server is overloaded", retry_after=RETRY_AFTER_S)
        return None

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run an SQL query in a thread beside the writer. Raises Unavailable."""
        return await asyncio.to_thread(self._store.read, query)

    async def ping(self) -> None:
        """Ask the database for an answer; callers at one time share one. Raises Unavailable."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(self.read(_ping), name="ledger-ping")
        await asyncio.shield(self._ping)

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Call back on the event loop after each commit; return what ends it."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def close(self) -> None:
        """Commit what was handed in, then give the database back."""
        self._closing = True
        self._work.set()
        run, *others = self._tasks
        await asyncio.wait([run])
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._refuse(
            self._pending, Unavailable("the server has stopped", retry_after=RETRY_AFTER_S)
        )
        await self._in_thread(self._store.close)
        self._executor.shutdown(wait=False)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call a method of the store that blocks, once no other one is under way."""
        async with self._turn:
            return await self._called(function, *args)

    def _called(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    async def _store_durably(self, changes: Changes) -> None:
        async with self._turn:
            if not await self._store.try_commit(changes):
                await self._called(self._store.commit, changes)

    async def _run(self) -> None:
        while not (self._closing and not self._pending):
            await self._work.wait()
            await asyncio.sleep(0)
            batch, self._pending = self._pending[:LARGEST_BATCH], self._pending[LARGEST_BATCH:]
            if not self._pending and not self._closing:
                self._work.clear()
            try:
                await self._write_batch(batch)
            except Exception as exc:
                _log.exception("a batch of %d commands failed", len(batch))
                self._stale = True  # it may be stored, and not or half merged
                with suppress(Exception):
                    await self._try_reload()
                self._refuse(batch, unavailable(exc))

    async def _write_batch(self, batch: list[Call[Any]]) -> None:
        if self._lost is not None:
            self._refuse(batch, self._lost)
            return
        try:
            if self._stale:
                await self._reload()
            await self._commit(batch)
        except RowRefused:
            await self._isolate(batch)
        except TunerError as exc:
            await self._fail(batch, exc)

    async def _commit(self, batch: list[Call[Any]]) -> None:
        """Decide, store, merge, and only then reply."""
        tx = Transaction(self.memory)
        decided = [decide(tx, call) for call in batch if not call.reply.done()]
        changes = seal(self.memory, tx)
        began = time.perf_counter()
        if not changes.empty:
            await self._store_durably(changes)
            if self._failing is not None:
                self._failing = None
                _log.warning("commits go through again")
            self.on_commit(len(batch), time.perf_counter() - began)
            self._announce(apply(self.memory, changes))
            if changes.dropped:
                self._dropped.set()
        for item in decided:
            answer(item)

    async def _isolate(self, batch: list[Call[Any]]) -> None:
        """Run the commands one by one, so that only those whose rows are refused fail.

        Ids are read again first: another program may have taken the next ones.
        """
        try:
            self.memory.tables.counters = await self._in_thread(self._store.counters)
        except TunerError as exc:
            await self._fail(batch, exc)
            return
        for i, call in enumerate(batch):
            try:
                await self._commit([call])
            except RowRefused as exc:
                _log.warning("a command's rows are refused", exc_info=exc.__cause__)
                self._refuse([call], exc)
            except TunerError as exc:
                await self._fail(batch[i:], exc)
                return

    async def _fail(self, batch: list[Call[Any]], exc: TunerError) -> None:
        if isinstance(exc, OwnerLost):
            self._lost = exc
        self._log_failure(exc)
        if isinstance(exc, OutcomeUnknown):
            self._stale = True
            await self._try_reload()
        self._refuse(batch, exc)

    def _log_failure(self, exc: TunerError) -> None:
        """Say what is wrong once: on a full disk each line would be one too many."""
        if self._failing is type(exc):
            return
        self._failing = type(exc)
        expected = isinstance(exc, StorageFull | OwnerLost)
        _log.error("commits fail: %s", exc.detail, exc_info=None if expected else exc.__cause__)

    async def _try_reload(self) -> None:
        try:
            await self._reload()
        except TunerError as exc:
            _log.warning("memory could not be read again yet: %s", exc.detail)

    async def _reload(self) -> None:
        fresh = await self._in_thread(self._store.load)
        self.memory.tables = fresh.tables
        self._stale = False
        self._announce(Committed(reloaded=True))

    def _refuse(self, batch: list[Call[Any]], exc: TunerError) -> None:
        for call in batch:
            answer(Decided(call=call, error=again(exc)))

    def _announce(self, news: Committed) -> None:
        for callback in tuple(self._subscribers):
            try:
                callback(news)
            except Exception:
                _log.exception("a subscriber of the ledger failed")

    async def _renew(self) -> None:
        while self._lost is None:
            await asyncio.sleep(RENEW_S)
            try:
                await self._in_thread(self._store.renew)
            except OwnerLost as exc:
                self._lost = exc
                _log.error("%s", exc.detail)
            except TunerError as exc:
                _log.warning("the ownership could not be renewed: %s", exc.detail)

    async def _purge(self) -> None:
        """Delete what belongs to dropped studies, piece by piece between the batches."""
        while self._lost is None:
            await self._dropped.wait()
            self._dropped.clear()
            try:
                while await self._in_thread(self._store.purge):
                    await asyncio.sleep(PURGE_PAUSE_S)
            except TunerError as exc:
                _log.warning("a dropped study is not deleted whole yet: %s", exc.detail)
                await asyncio.sleep(RENEW_S)
                self._dropped.set()


def _ping(connection: Connection) -> None:
    connection.execute(select(1))
