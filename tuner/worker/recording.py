"""Records what each attempt runs on and with, beside the training and never in its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from tuner.environment import Parts, Recorder, What
from tuner.errors import StaleAttempt, TunerError
from tuner.wire import LeaseGrant
from tuner.worker import process
from tuner.worker.api import WorkerApi

_LOG = logging.getLogger("tuner.worker")
_PATIENCE_S = 60.0


class Recording:
    """Collects environments in a thread and sends them, one attempt's at a time.

    What goes wrong is logged and forgotten: a trial without a record trains as well.
    """

    def __init__(self, api: WorkerApi, worker: str) -> None:
        self._api = api
        self._recorder = Recorder(worker)
        self._folder = Path.cwd()
        self._tasks: set[asyncio.Task[None]] = set()
        self._trouble = ""

    def start(self, grant: LeaseGrant, variables: Mapping[str, str]) -> None:
        """Begin to record an attempt; `variables` is the environment that its process has."""
        task = asyncio.create_task(self._record(grant, variables))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, grace: float) -> None:
        """Wait `grace` seconds for what is not sent yet, then give it up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _record(self, grant: LeaseGrant, variables: Mapping[str, str]) -> None:
        try:
            what = What.of_run(grant.run, self._folder)
            parts = await asyncio.to_thread(self._collect, what, variables)
            await self._send(grant, parts)
        except StaleAttempt:
            pass
        except TunerError as exc:
            self._warn(grant, exc.detail)
        except Exception as exc:
            self._warn(grant, repr(exc))

    def _warn(self, grant: LeaseGrant, why: str) -> None:
        level = logging.DEBUG if why == self._trouble else logging.WARNING
        self._trouble = why
        _LOG.log(
            level, "%s #%d has no record of its environment: %s", grant.study, grant.number, why
        )

    def _collect(self, what: What, variables: Mapping[str, str]) -> Parts:
        with process.not_reaping():
            return self._recorder.record(what, variables)

    async def _send(self, grant: LeaseGrant, parts: Parts) -> None:
        first = parts.message(grant.attempt, frozenset())
        reply = await self._api.record(grant.lease, first, _PATIENCE_S)
        if reply.missing:
            whole = parts.message(grant.attempt, frozenset(reply.missing))
            await self._api.record(grant.lease, whole, _PATIENCE_S)
