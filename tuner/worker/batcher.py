"""One stream of writes to the server for all leases: reports in batches, each end after them.

A report is sent at once while no request is under way; those that come meanwhile are gathered into
the next. While the server is away requests are repeated and everything waits, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import islice

from tuner.errors import (
    InvalidInput,
    Malformed,
    NotAllowed,
    NotAuthenticated,
    TooLarge,
    TunerError,
)
from tuner.wire import (
    FinishTrial,
    Problem,
    ReleaseTrial,
    ReportItem,
    ReportResult,
    TrialAfter,
)
from tuner.worker.api import WorkerApi
from tuner.worker.link import Link
from tuner.worker.spool import Entry, Spool

MOST = 1000
"""Reports in one request."""

_LOG = logging.getLogger("tuner.worker")


class Batcher:
    """Writes reports and ends of trials.

    Args:
        on_fatal: called when the server refuses this worker as a whole.
    """

    def __init__(
        self, api: WorkerApi, spool: Spool, link: Link, on_fatal: Callable[[TunerError], None]
    ) -> None:
        self._api = api
        self._spool = spool
        self._link = link
        self._on_fatal = on_fatal
        self._pending: dict[int, tuple[ReportItem, asyncio.Future[ReportResult]]] = {}
        self._by_lease: dict[str, set[asyncio.Future[ReportResult]]] = {}
        self._wake = asyncio.Event()
        self._dropped = 0
        self._replays: set[asyncio.Task[TrialAfter | None]] = set()
        link.on_away = spool.persist

    def report(self, item: ReportItem) -> asyncio.Future[ReportResult]:
        """Send a report; the future gets the answer, empty if the report had to be dropped."""
        body = item.model_dump(mode="json")
        key, dropped = self._spool.add(Entry(kind="report", lease=item.lease, body=body))
        if dropped is not None:
            self._drop(dropped)
        future: asyncio.Future[ReportResult] = asyncio.get_running_loop().create_future()
        self._pending[key] = (item, future)
        of_lease = self._by_lease.setdefault(item.lease, set())
        of_lease.add(future)
        future.add_done_callback(lambda done: self._forget(item.lease, done))
        self._wake.set()
        if self._link.away:
            self._spool.persist()
        return future

    async def settled(self, lease: str) -> None:
        """Wait until every report of a lease was answered."""
        while waiting := self._by_lease.get(lease):
            await asyncio.wait(waiting)

    async def finish(self, lease: str, body: FinishTrial) -> TrialAfter:
        """End a trial after all its reports.

        Raises:
            TunerError: the server refused.
        """
        return await self._end(Entry(kind="finish", lease=lease, body=body.model_dump(mode="json")))

    async def release(self, lease: str, body: ReleaseTrial) -> TrialAfter:
        """Give a trial back after all its reports.

        Raises:
            TunerError: the server refused.
        """
        dumped = body.model_dump(mode="json")
        return await self._end(Entry(kind="release", lease=lease, body=dumped))

    def replay(self) -> int:
        """Send what dead workers of this node left behind; return how many writes that is."""
        found = 0
        for entry in self._spool.recover():
            found += 1
            if entry.kind == "report":
                self.report(ReportItem.model_validate(entry.body))
            else:
                task = asyncio.create_task(self._replayed(entry))
                self._replays.add(task)
                task.add_done_callback(self._replays.discard)
        return found

    async def run(self) -> None:
        """Send batches until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                keys = list(islice(self._pending, MOST))
                items = [self._pending[key][0] for key in keys]
                for key, result in zip(keys, await self._send(items), strict=True):
                    self._answer(key, result)

    async def _send(self, items: list[ReportItem]) -> list[ReportResult]:
        try:
            results = (await self._api.report(items)).results
            if len(results) == len(items):
                return results
            problem = TunerError(f"{len(results)} answers to {len(items)} reports")
        except (InvalidInput, Malformed, TooLarge) as exc:
            if len(items) > 1:
                half = len(items) // 2
                return await self._send(items[:half]) + await self._send(items[half:])
            problem = exc
        except TunerError as exc:
            if isinstance(exc, NotAuthenticated | NotAllowed):
                self._on_fatal(exc)
            problem = exc
        refused = ReportResult(
            problem=Problem(
                type=problem.slug,
                title=problem.title,
                status=problem.status,
                detail=problem.detail,
            )
        )
        return [refused] * len(items)

    async def _end(self, entry: Entry) -> TrialAfter:
        key, _ = self._spool.add(entry)
        if self._link.away:
            self._spool.persist()
        try:
            await self.settled(entry.lease)
            if entry.kind == "finish":
                after = await self._api.finish(entry.lease, FinishTrial.model_validate(entry.body))
            else:
                after = await self._api.release(
                    entry.lease, ReleaseTrial.model_validate(entry.body)
                )
        except TunerError:
            self._spool.remove(key)
            raise
        self._spool.remove(key)
        return after

    async def _replayed(self, entry: Entry) -> TrialAfter | None:
        try:
            return await self._end(entry)
        except TunerError as exc:
            _LOG.info("a %s of an earlier worker came too late: %s", entry.kind, exc.detail)
            return None

    def _answer(self, key: int, result: ReportResult) -> None:
        self._spool.remove(key)
        pending = self._pending.pop(key, None)
        if pending is not None and not pending[1].done():
            pending[1].set_result(result)

    def _drop(self, key: int) -> None:
        self._dropped += 1
        if self._dropped == 1:
            _LOG.warning("the spool is full: the oldest reports are dropped from now on")
        self._answer(key, ReportResult())

    def _forget(self, lease: str, future: asyncio.Future[ReportResult]) -> None:
        waiting = self._by_lease.get(lease)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._by_lease[lease]
