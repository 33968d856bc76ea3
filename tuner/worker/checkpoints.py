"""Brings a trial's checkpoints to the server while it trains on: of several only the newest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from tuner.errors import StaleAttempt, TunerError
from tuner.wire import LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher

_LOG = logging.getLogger("tuner.worker")


class Uploader:
    """The checkpoints of one attempt. Files handed over are deleted once done with."""

    def __init__(self, api: WorkerApi, batcher: Batcher, grant: LeaseGrant) -> None:
        self._api = api
        self._batcher = batcher
        self._grant = grant
        self._next: tuple[int, Path] | None = None
        self._task: asyncio.Task[None] | None = None

    def put(self, step: int, path: Path) -> None:
        """Upload a file, in place of an older one that still waits."""
        if self._next is not None:
            self._next[1].unlink(missing_ok=True)
        self._next = (step, path)
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
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while self._next is not None:
            (step, path), self._next = self._next, None
            try:
                # The server takes a checkpoint only for steps it knows.
                await self._batcher.settled(self._grant.lease)
                await self._api.upload(self._grant, step, path)
            except StaleAttempt:
                return
            except (TunerError, OSError) as exc:
                name = f"{self._grant.study} #{self._grant.number}"
                _LOG.warning("%s checkpoint of step %d was not stored: %s", name, step, exc)
            finally:
                path.unlink(missing_ok=True)
