"""The parent of a node's trials: leases them, sees to their children, and talks to the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Coroutine

from tuner.errors import InvalidInput, TunerError
from tuner.packing import homes
from tuner.secrets import Masker
from tuner.wire import Heartbeat, HeartbeatReply, HeldLease, RegisterWorker
from tuner.worker import linux, process
from tuner.worker.api import WorkerApi
from tuner.worker.attempt import Attempt
from tuner.worker.batcher import Batcher
from tuner.worker.conduct import Conduct
from tuner.worker.config import WorkerConfig
from tuner.worker.endings import Ending
from tuner.worker.gpu_memory import GpuMemory
from tuner.worker.gpus import Gpu, resolve, visible
from tuner.worker.leasing import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UNREACHABLE,
    Leasing,
    refused,
)
from tuner.worker.link import Link
from tuner.worker.log_sender import LogSender
from tuner.worker.looking import look
from tuner.worker.output import prune_logs
from tuner.worker.program import tasks
from tuner.worker.recording import Recording
from tuner.worker.slots import Slot
from tuner.worker.spool import Spool
from tuner.worker.tools import Tools
from tuner.worker.work_folder import work_folder

_LOG = logging.getLogger("tuner.worker")
_LAST_LOGS_S = 3.0
_RECORD_S = 5.0


def run_worker(config: WorkerConfig) -> int:
    """Work until told to leave or idle for long enough; return the process's exit code.

    0 after a clean end, 4 if the server refuses the token, 5 if `until_idle` is set and the server
    can't be reached, 7 if it is set and the worker took itself out of service, 130 after a second
    interrupt.

    Raises:
        InvalidInput: the GPUs asked for can't be found, or this is not Linux.
    """
    if sys.platform != "linux":
        raise InvalidInput("workers run on Linux only")
    _log_to_stderr()
    gpus = resolve(config.gpus)
    if ended := process.end_leftovers():
        _LOG.info("ended what a killed worker left behind; processes: %d", ended)
    linux.become_subreaper()
    linux.hide_environment()
    return asyncio.run(Agent(config, gpus).run())


class Agent:
    """One worker."""

    def __init__(self, config: WorkerConfig, gpus: tuple[Gpu, ...]) -> None:
        self._config = config
        self._gpus = gpus
        self._memory = GpuMemory.open(gpus)
        self._link = Link(config.url)
        self._attempts: set[Attempt] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._slots: list[Slot] = []
        self._leasing: Leasing | None = None
        self._ended: asyncio.Future[int] | None = None
        self._orphans = process.Orphans()
        self._conduct = Conduct(config.max_quick_failures, config.quick_failure)

    async def run(self) -> int:
        """Work; return the exit code."""
        config = self._config
        self._ended = asyncio.get_running_loop().create_future()
        spool = Spool(config.spool, config.url, limit=config.spool_limit)
        api = WorkerApi(
            config.url,
            config.token,
            self._link,
            request_timeout=config.request_timeout,
            ca=config.ca,
        )
        with work_folder() as work:
            async with api:
                batcher = Batcher(api, spool, self._link, self._refused)
                tools = Tools(
                    config=config,
                    api=api,
                    batcher=batcher,
                    conduct=self._conduct,
                    link=self._link,
                    logs=LogSender(api, self._link),
                    masker=Masker.of(os.environ, config.token),
                    orphans=self._orphans,
                    recording=Recording(api, config.name),
                    work=work,
                    threads=_threads(config.slots),
                )
                try:
                    return await self._work(tools)
                finally:
                    await self._close_slots()
                    await tools.recording.close(0.0 if self._link.away else _RECORD_S)
                    spool.persist()
                    spool.close()

    async def _work(self, tools: Tools) -> int:
        assert self._ended is not None
        self._slots = [self._slot(tools, index) for index in range(self._config.slots)]
        self._listen_to_signals()
        found = tools.batcher.replay()
        if found:
            _LOG.info("%d writes of an earlier worker are sent first", found)
        leasing = self._leasing = Leasing(
            tools,
            self._slots,
            self._about(),
            attempts=self._attempts,
            on_end=self._end,
            gpus=self._gpus,
            memory=self._memory.total if self._memory is not None else None,
        )
        loops = [tools.batcher.run(), tools.logs.run(), leasing.run(), self._keep_house()]
        running = [asyncio.create_task(self._guarded(loop)) for loop in loops]
        serving = [asyncio.create_task(self._guarded(slot.serve())) for slot in self._slots]
        beating = asyncio.create_task(self._guarded(self._beat(tools, leasing)))
        try:
            code = await self._ended
            await self._leave(tools, asyncio.create_task(self._guarded(leasing.stop())))
            await tools.logs.drained(_LAST_LOGS_S)
            await _cancel([beating])  # a later heartbeat would register the worker again
            await leasing.sign_off()
            return code
        finally:
            await _cancel([*running, *serving, beating, *self._closing])

    def _slot(self, tools: Tools, index: int) -> Slot:
        config = self._config
        own = homes(config.slots, len(self._gpus))[index]
        return Slot(
            tools,
            visible(config.gpus, self._gpus, own),
            on_free=self._on_free,
            on_attempt=self._began,
            on_over=self._over,
        )

    def _on_free(self) -> None:
        if self._leasing is not None:
            self._leasing.freed.set()

    def _about(self) -> RegisterWorker:
        config = self._config
        return RegisterWorker(
            name=config.name,
            host=(platform.node() or "host")[:100],
            slots=config.slots,
            gpus=[gpu.name for gpu in self._gpus],
            labels=dict(config.labels),
            allow=list(config.allow),
            allow_commands=list(config.allow_commands),
            allow_env=list(config.allow_env),
            tasks=list(tasks(config)),
        )

    def _began(self, attempt: Attempt) -> None:
        self._attempts.add(attempt)
        if self._ended is not None and self._ended.done():
            attempt.leave()

    def _over(self, attempt: Attempt, ending: Ending) -> None:
        if self._leasing is not None:
            ending = self._leasing.judge(attempt, ending)
        counted = Ending(outcome="complete") if attempt.stopped else ending
        said = self._conduct.note(attempt.grant.study_id, attempt.name, counted, attempt.age)
        if said:
            _LOG.warning("%s", said)
        task = asyncio.create_task(self._close(attempt, ending))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, attempt: Attempt, ending: Ending) -> None:
        try:
            if ending.outcome == "left" and self._leasing is not None:
                # Else the open request for leases would be given this very trial.
                await self._leasing.quiet.wait()
            await attempt.close(ending)
        finally:
            self._attempts.discard(attempt)
            if self._leasing is not None:
                self._leasing.busy()

    async def _beat(self, tools: Tools, leasing: Leasing) -> None:
        while True:
            known = await leasing.known()
            await self._conduct.changed(known.heartbeat_s)
            attempts = list(self._attempts)
            held = [HeldLease(lease=a.grant.lease, attempt=a.grant.attempt) for a in attempts]
            beat = Heartbeat(worker_id=known.worker_id, leases=held, trouble=self._conduct.trouble)
            try:
                reply = await tools.api.heartbeat(beat, known.heartbeat_s)
            except TunerError as exc:
                _LOG.debug("a heartbeat failed: %s", exc.detail)
                continue
            _apply(attempts, reply)
            if not reply.known:
                await leasing.register()

    async def _keep_house(self) -> None:
        await asyncio.to_thread(prune_logs, self._config.logs, self._config.log_files)
        while True:
            await look(self._orphans, self._attempts)
            await self._sample()
            until = self._config.until_idle
            if until is None or self._attempts:
                continue
            if self._link.away_for >= max(until, self._config.unreachable):
                _LOG.error("the server can't be reached")
                self._end(EXIT_UNREACHABLE)

    async def _sample(self) -> None:
        packed = [attempt for attempt in self._attempts if attempt.packed]
        if self._memory is not None and packed:
            held = await asyncio.to_thread(self._memory.held)
            all_of = await asyncio.to_thread(linux.processes)
            for attempt in packed:
                attempt.sampled(held, all_of)

    async def _leave(self, tools: Tools, stopping: asyncio.Task[None]) -> None:
        config = self._config
        if self._attempts:
            _LOG.info("leaving: %d trials are asked to checkpoint", len(self._attempts))
        for attempt in self._attempts:
            attempt.leave()
        grace = config.stop_grace + config.kill_grace + config.upload_grace
        deadline = time.monotonic() + grace + 10.0
        while self._attempts or self._closing or not stopping.done():
            gone = self._link.away_for > config.report_timeout and not any(
                attempt.training for attempt in self._attempts
            )
            if gone or time.monotonic() > deadline:
                _LOG.warning("left before the server was told of everything; it is kept on disk")
                return
            await asyncio.sleep(0.02)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, self._end, EXIT_OK)
            loop.add_signal_handler(signal.SIGINT, self._interrupted)

    def _interrupted(self) -> None:
        if self._ended is not None and self._ended.done():
            process.kill_all()
            os._exit(EXIT_INTERRUPTED)
        self._end(EXIT_OK)

    def _refused(self, problem: TunerError) -> None:
        self._end(refused(problem))

    def _end(self, code: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    async def _guarded(self, loop: Coroutine[None, None, None]) -> None:
        try:
            await loop
        except Exception:
            _LOG.exception("the worker met a bug of its own and leaves")
            self._end(EXIT_FAILURE)

    async def _close_slots(self) -> None:
        await asyncio.gather(*(slot.close() for slot in self._slots))


def _apply(attempts: list[Attempt], reply: HeartbeatReply) -> None:
    for attempt, result in zip(attempts, reply.results, strict=False):
        if result.problem is not None:
            attempt.lost()
        elif result.decision is not None:
            attempt.decided(result.decision)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _threads(slots: int) -> int:
    """Return the threads of a slot: as OMP_NUM_THREADS says, else its share of the cores."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() and int(named) else max(1, _cores() // slots)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _log_to_stderr() -> None:
    if not _LOG.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        _LOG.addHandler(handler)
        _LOG.setLevel(logging.INFO)
        _LOG.propagate = False
