"""Brings a trial's files to the server while it trains on: of checkpoints only the newest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable
from pathlib import Path

from tuner.errors import StaleAttempt, TunerError
from tuner.wire import LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher

_LOG = logging.getLogger("tuner.worker")


class Uploader:
    """The files of one attempt. Those handed over are deleted once done with."""

    def __init__(self, api: WorkerApi, batcher: Batcher, grant: LeaseGrant) -> None:
        self._api = api
        self._batcher = batcher
        self._grant = grant
        self._next: tuple[int, Path] | None = None
        self._kept: deque[tuple[str, Path]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, step: int, path: Path) -> None:
        """Upload a file, in place of an older one that still waits."""
        if self._next is not None:
            self._next[1].unlink(missing_ok=True)
        self._next = (step, path)
        self._start()

    def keep(self, name: str, path: Path) -> None:
        """Upload a file that the trial keeps, after those before it."""
        self._kept.append((name, path))
        self._start()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def drain(self, patience: float) -> bool:
        """Wait until the last upload is over; return whether it was within `patience` seconds."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait({self._task}, timeout=patience)
        return bool(done)

    async def cancel(self) -> None:
        """Give up what is under way."""
        self._next = None
        self._kept.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while self._next is not None or self._kept:
            try:
                if self._next is not None:
                    (step, path), self._next = self._next, None
                    await self._bring(f"checkpoint of step {step}", path, self._upload(step, path))
                else:
                    name, path = self._kept.popleft()
                    keep = self._api.keep(self._grant, name, path)
                    await self._bring(f"file {name}", path, keep)
            except StaleAttempt:
                self._next = None
                self._kept.clear()

    async def _upload(self, step: int, path: Path) -> None:
        # The server takes a checkpoint only for steps it knows.
        await self._batcher.settled(self._grant.lease)
        await self._api.upload(self._grant, step, path)

    async def _bring(self, what: str, path: Path, sending: Awaitable[None]) -> None:
        try:
            await sending
        except StaleAttempt:
            raise
        except (TunerError, OSError) as exc:
            name = f"{self._grant.study} #{self._grant.number}"
            _LOG.warning("%s %s was not stored: %s", name, what, exc)
        finally:
            path.unlink(missing_ok=True)
