"""One lease's run of a trial: what the parent does between taking a lease and giving it up."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from tuner.errors import (
    InvalidInput,
    NotFound,
    StaleAttempt,
    TrialEnded,
    TunerError,
)
from tuner.problems import error_of
from tuner.wire import (
    DecisionView,
    FinishTrial,
    LeaseGrant,
    ReleaseTrial,
    ReportItem,
    ReportResult,
    TrialAfter,
)
from tuner.worker.checkpoints import Uploader
from tuner.worker.endings import Ending, crashed, hung, over, too_large, vanished
from tuner.worker.gpu_memory import CONTEXT_BYTES
from tuner.worker.linux import Process, belongings, oom_kills
from tuner.worker.memory import Meter, limit_of
from tuner.worker.messages import (
    Decided,
    Done,
    Kept,
    Later,
    Leave,
    Reported,
    Saved,
    Started,
    ToParent,
)
from tuner.worker.output import log_path
from tuner.worker.preparing import prepared
from tuner.worker.printed import Printed
from tuner.worker.process import ChildProcess
from tuner.worker.program import Program
from tuner.worker.tools import Tools
from tuner.worker.watch import Watch, Why

_LOG = logging.getLogger("tuner.worker")
_CROWDED = "a GPU's memory ran out beside other trials"
_LOOK_S = 0.5
_STOP = DecisionView.model_validate({"action": "stop", "reason": "the trial has ended"})


class Attempt:
    """A leased trial in this worker. `train` until the child is free again, then `close`.

    Guarantees: the lease is given up exactly once, by finish or release, unless it was lost; a lost
    lease's trial is killed and nothing is said about it.
    """

    def __init__(self, tools: Tools, grant: LeaseGrant, program: Program) -> None:
        self.grant = grant
        self.name = f"{grant.study} #{grant.number}"
        self._tools = tools
        self._program = program
        self._uploader = Uploader(tools.api, tools.batcher, grant)
        self._work = tools.work / f"{grant.study_id}-{grant.number}-{grant.attempt}"
        self._watch = Watch(program.progress_timeout)
        self._meter = Meter(limit_of(program.memory, tools.config.memory_per_slot))
        self._stopped = False
        self._began = time.monotonic()
        self._child: ChildProcess | None = None
        self._value: float | None = None
        self._step = 0
        self._sampled = 0
        self._printed = Printed(tools.masker, None, head=0, stream=None)

    @property
    def training(self) -> bool:
        """Whether its child still runs it."""
        return self._child is not None

    @property
    def stopped(self) -> bool:
        """Whether the server has ended the trial; how its process ends then is no matter."""
        return self._stopped

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def leave(self) -> None:
        """Ask the trial to checkpoint and return; it is killed after the stop grace."""
        if not self._watch.leaves:
            self._watch.leave(self._tools.config.stop_grace)
            if self._child is not None:
                self._child.line.send(Leave())

    @property
    def packed(self) -> bool:
        """Whether it runs on a share of a GPU."""
        return self.training and 0 < (self._program.gpus or 0) < 1

    def sampled(self, held: Mapping[int, int], all_of: Mapping[int, Process]) -> None:
        """Note what processes hold of a GPU, in bytes by pid; the trial's own count."""
        if self._child is not None:
            pids = (self._child.pid, *belongings(self._child.pid, all_of))
            mine = sum(held.get(pid, 0) for pid in pids)
            self._sampled = max(self._sampled, mine)

    def peak(self, ending: Ending) -> int:
        """Return the most the trial held of one GPU, in bytes; 0 if that is not known."""
        if self._sampled:
            return max(self._sampled, ending.gpu_peak)
        return ending.gpu_peak + CONTEXT_BYTES if ending.gpu_peak else 0

    def lost(self) -> None:
        """Kill the trial: its lease is no longer held."""
        self._watch.lost()

    def decided(self, decision: DecisionView) -> None:
        """Pass on a decision that came with a heartbeat."""
        if decision.action == "stop" and not self._stopped and self._child is not None:
            self._stopped = True
            self._child.line.send(Decided(seq=0, decision=decision))
            self.leave()

    def measure(self, all_of: Mapping[int, Process]) -> None:
        """Measure the trial's memory, in any thread; `all_of` are all processes."""
        if (child := self._child) is not None:
            self._meter.measure(child.pid, all_of)

    def judge(self) -> None:
        """Kill the trial if it was measured to use too much memory."""
        if self._meter.excess is not None:
            self._watch.exceeded()

    async def train(self, child: ChildProcess) -> Ending:
        """Run the trial in `child` until it is over there; a child that is not `clean` is dead."""
        tools, grant = self._tools, self.grant
        _LOG.info("%s started (attempt %d)%s", self.name, grant.attempt, _from(grant))
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = log_path(tools.config.logs, grant.study, grant.number, grant.attempt)
        stream = tools.logs.open(grant.lease, grant.attempt)
        self._printed = Printed(tools.masker, path, head=tools.config.log_bytes, stream=stream)
        child.write = self._printed.feed
        start = await prepared(tools, grant, self._program, self._work)
        if isinstance(start, Ending):
            child.devour()
            return start
        if self._watch.leaves or self._watch.is_lost:
            child.devour()
            return Ending(outcome="lost" if self._watch.is_lost else "left", clean=True)
        self._child = child
        self._began = time.monotonic()
        self._watch.progress()
        child.line.send(start)
        tools.recording.start(grant, child.variables)
        try:
            return await self._watched(child)
        finally:
            self._child = None
            child.devour()
            self._printed.end()

    async def close(self, ending: Ending) -> None:
        """Tell the server how it ended, after the last reports and files."""
        try:
            if ending.outcome == "lost":
                _LOG.info("%s lost its lease", self.name)
                return
            if not await self._drained():
                _LOG.warning("%s ends without all its files", self.name)
            if not self._stopped and (ending.outcome == "left" or ending.share is not None):
                why = "the worker leaves" if ending.share is None else _CROWDED + ending.why()
                body = ReleaseTrial(attempt=self.grant.attempt, reason=why, share=ending.share)
                after = await self._tools.batcher.release(self.grant.lease, body)
            else:
                after = await self._finished(ending)
            self._tell(ending, after)
        except TunerError as exc:
            _LOG.warning("%s could not be closed: %s", self.name, exc.detail)
        finally:
            await self._uploader.cancel()
            self._printed.close()
            await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)

    async def _drained(self) -> bool:
        """Wait until the last files are stored; a worker that leaves waits for less long."""
        config = self._tools.config
        deadline = time.monotonic() + config.keep_grace
        while not self._watch.leaves and time.monotonic() < deadline:
            if await self._uploader.drain(_LOOK_S):
                return True
        return await self._uploader.drain(0.0 if self._tools.link.away else config.upload_grace)

    async def _watched(self, child: ChildProcess) -> Ending:
        kills = oom_kills()
        listening = asyncio.create_task(self._listen(child))
        watching = asyncio.create_task(self._watch.wait())
        exited = asyncio.create_task(child.exited.wait())
        tasks = (listening, watching, exited)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                # Forks may hold the channel open; what was said before the end is still in it.
                await asyncio.wait({listening}, timeout=0.2)
            if listening.done() and listening.exception() is None:
                return await self._over(child, listening.result(), kills)
            if listening.done() or exited.done():
                return await self._vanished(child, kills)
            return await self._killed(child, watching.result())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _killed(self, child: ChildProcess, why: Why) -> Ending:
        await child.end(self._tools.config.kill_grace if why in ("lost", "hung") else 0.0)
        if why == "hung":
            return hung(self._program.progress_timeout, self._printed)
        if why == "memory":
            return too_large(self._meter.excess or "", self._printed)
        return Ending(outcome=why)

    async def _vanished(self, child: ChildProcess, kills: int) -> Ending:
        status = await child.end(1.0)
        if status == -signal.SIGTERM and not self._watch.leaves:
            # Schedulers signal all processes at once; the worker's own SIGTERM may come second.
            await asyncio.sleep(0.5)
        if self._watch.is_lost or self._watch.leaves:
            return Ending(outcome="lost" if self._watch.is_lost else "left")
        return crashed(status, oom_kills() > kills, self._printed)

    async def _over(self, child: ChildProcess, done: Done, kills: int) -> Ending:
        child.drain()
        forks = await child.forks()
        if forks or not done.clean:
            if forks:
                # A shell that was ended leaves what it waited for: nothing to wonder about.
                level = logging.DEBUG if self._stopped or self._watch.leaves else logging.INFO
                said = "%s left processes behind, which were killed: %d"
                _LOG.log(level, said, self.name, len(forks))
            await child.end()
        if done.vanished:
            return vanished(done.error, oom_kills() > kills, self._printed)
        return over(done, asked=self._watch.leaves, alive=child.alive)

    async def _listen(self, child: ChildProcess) -> Done:
        while True:
            message = await child.line.receive()
            if isinstance(message, Done):
                return message
            self._take(child, message)

    def _take(self, child: ChildProcess, message: ToParent) -> None:
        match message:
            case Started():
                self._watch.progress()
            case Reported():
                self._watch.progress()
                self._report(child, message)
            case Saved():
                self._uploader.put(message.step, Path(message.path))
            case Kept():
                self._uploader.keep(message.name, Path(message.path))
            case _:
                pass

    def _report(self, child: ChildProcess, report: Reported) -> None:
        self._value, self._step = report.value, max(self._step, report.step)
        if self._tools.link.away_for >= self._tools.config.report_timeout:
            child.line.send(Later(seq=report.seq))
        answer = self._tools.batcher.report(_item(self.grant, report))
        answer.add_done_callback(lambda done: self._answered(report.seq, done))

    def _answered(self, seq: int, answer: asyncio.Future[ReportResult]) -> None:
        if answer.cancelled():
            return
        result = answer.result()
        decision, problem, detail = result.decision, None, ""
        if result.problem is not None:
            error = error_of(result.problem)
            if isinstance(error, StaleAttempt | NotFound):
                self.lost()
                return
            if isinstance(error, TrialEnded):
                decision = _STOP
            else:
                problem, detail = error.slug, error.detail
        self._stopped |= decision is not None and decision.action == "stop"
        if self._child is not None:
            message = Decided(seq=seq, decision=decision, problem=problem, detail=detail)
            self._child.line.send(message)

    async def _finished(self, ending: Ending) -> TrialAfter:
        batcher, lease = self._tools.batcher, self.grant.lease
        try:
            return await batcher.finish(lease, self._finish(ending))
        except InvalidInput as exc:
            error = f"the server can't take this end: {exc.detail}"
            failed = Ending(outcome="failed", error=error, retry=False)
            return await batcher.finish(lease, failed.finish(self.grant.attempt))

    def _finish(self, ending: Ending) -> FinishTrial:
        attempt = self.grant.attempt
        body = FinishTrial(attempt=attempt) if self._stopped else ending.finish(attempt)
        error = self._tools.masker.mask(body.error)
        return body.model_copy(update={"error": error, "host_memory": self._meter.peak or None})

    def _tell(self, ending: Ending, after: TrialAfter) -> None:
        value = ending.value if ending.value is not None else self._value
        took = time.monotonic() - self._began
        said = ending.sentence(after.outcome, self._step, self.grant.metric, value)
        _LOG.info("%s %s (%.1f s)%s", self.name, said, took, ending.why())


def _from(grant: LeaseGrant) -> str:
    return f" from step {grant.resume.step}" if grant.resume is not None else ""


def _item(grant: LeaseGrant, report: Reported) -> ReportItem:
    return ReportItem(
        lease=grant.lease,
        attempt=grant.attempt,
        step=report.step,
        value=report.value,
        status="ok" if report.value is not None else "diverged",
        lr_factor=report.lr_factor,
        metrics=report.metrics,
    )
