"""One lease's run of a trial: what the parent does between taking a lease and giving it up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import time
from pathlib import Path
from typing import Literal

from tuner.errors import InvalidInput, NotFound, StaleAttempt, TrialEnded, TunerError
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
from tuner.worker.endings import Ending, crashed, hung, over
from tuner.worker.linux import oom_kills
from tuner.worker.messages import (
    Decided,
    Done,
    Kept,
    Later,
    Leave,
    Reported,
    ResumeFrom,
    Saved,
    Started,
    ToParent,
)
from tuner.worker.output import Output, log_path
from tuner.worker.process import ChildProcess
from tuner.worker.program import Program
from tuner.worker.tools import Tools

_LOG = logging.getLogger("tuner.worker")
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
        self._changed = asyncio.Event()
        self._lost = False
        self._stopped = False
        self._leave_by: float | None = None
        self._progress_at = time.monotonic()
        self._began = time.monotonic()
        self._child: ChildProcess | None = None
        self._value: float | None = None
        self._step = 0
        self._output = Output(None, head=0)

    @property
    def training(self) -> bool:
        """Whether its child still runs it."""
        return self._child is not None

    def leave(self) -> None:
        """Ask the trial to checkpoint and return; it is killed after the stop grace."""
        if self._leave_by is None:
            self._leave_by = time.monotonic() + self._tools.config.stop_grace
            self._changed.set()
            if self._child is not None:
                self._child.line.send(Leave())

    def lost(self) -> None:
        """Kill the trial: its lease is no longer held."""
        self._lost = True
        self._changed.set()

    def decided(self, decision: DecisionView) -> None:
        """Pass on a decision that came with a heartbeat."""
        if decision.action == "stop" and not self._stopped and self._child is not None:
            self._stopped = True
            self._child.line.send(Decided(seq=0, decision=decision))
            self.leave()

    async def train(self, child: ChildProcess) -> Ending:
        """Run the trial in `child` until it is over there; a child that is not `clean` is dead."""
        tools, grant = self._tools, self.grant
        _LOG.info("%s started (attempt %d)%s", self.name, grant.attempt, _from(grant))
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = log_path(tools.config.logs, grant.study, grant.number, grant.attempt)
        self._output = Output(path, head=tools.config.log_bytes)
        child.write = self._output.write
        try:
            start = tools.start(grant, self._program, self._work, await self._resume())
        except (InvalidInput, NotFound) as exc:
            child.devour()
            return await self._without_checkpoint(exc)
        except (TunerError, OSError) as exc:
            child.devour()
            why = f"the checkpoint can't be fetched: {exc}"
            return Ending(outcome="failed", error=why, clean=True)
        if self._leave_by is not None or self._lost:
            child.devour()
            return Ending(outcome="lost" if self._lost else "left", clean=True)
        self._child = child
        self._began = self._progress_at = time.monotonic()
        child.line.send(start)
        try:
            return await self._watched(child)
        finally:
            self._child = None
            child.devour()

    async def close(self, ending: Ending) -> None:
        """Tell the server how it ended, after the last reports and files."""
        try:
            if ending.outcome == "lost":
                _LOG.info("%s lost its lease", self.name)
                return
            if not await self._drained():
                _LOG.warning("%s ends without all its files", self.name)
            if ending.outcome == "left" and not self._stopped:
                body = ReleaseTrial(attempt=self.grant.attempt, reason="the worker leaves")
                after = await self._tools.batcher.release(self.grant.lease, body)
            else:
                after = await self._finished(ending)
            self._tell(ending, after)
        except TunerError as exc:
            _LOG.warning("%s could not be closed: %s", self.name, exc.detail)
        finally:
            await self._uploader.cancel()
            self._output.close()
            await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)

    async def _drained(self) -> bool:
        """Wait until the last files are stored; a worker that leaves waits for less long."""
        config = self._tools.config
        deadline = time.monotonic() + config.keep_grace
        while self._leave_by is None and time.monotonic() < deadline:
            if await self._uploader.drain(_LOOK_S):
                return True
        return await self._uploader.drain(0.0 if self._tools.link.away else config.upload_grace)

    async def _resume(self) -> ResumeFrom | None:
        held = self.grant.resume
        if held is None:
            return None
        path = self._work / f"resume-{held.step}.ckpt"
        await self._tools.api.download(self.grant, held, path)
        return ResumeFrom(step=held.step, path=str(path))

    async def _without_checkpoint(self, problem: TunerError) -> Ending:
        """Tell the server that what came can't be used; it says where the trial goes on."""
        held = self.grant.resume
        assert held is not None
        try:
            await self._tools.api.reject(self.grant, held, problem.detail)
        except TunerError as exc:
            why = f"the checkpoint can't be used: {problem.detail}; {exc.detail}"
            return Ending(outcome="failed", error=why, clean=True)
        _LOG.warning("%s was given back: %s", self.name, problem.detail)
        return Ending(outcome="lost", clean=True)

    async def _watched(self, child: ChildProcess) -> Ending:
        kills = oom_kills()
        listening = asyncio.create_task(self._listen(child))
        watching = asyncio.create_task(self._watch())
        exited = asyncio.create_task(child.exited.wait())
        tasks = (listening, watching, exited)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                # Forks may hold the channel open; what was said before the end is still in it.
                await asyncio.wait({listening}, timeout=0.2)
            if listening.done() and listening.exception() is None:
                return await self._over(child, listening.result())
            if listening.done() or exited.done():
                return await self._vanished(child, kills)
            return await self._killed(child, watching.result())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _killed(self, child: ChildProcess, why: Literal["lost", "left", "hung"]) -> Ending:
        await child.end(0.0 if why == "left" else self._tools.config.kill_grace)
        if why == "hung":
            return hung(self._program.progress_timeout, self._output)
        return Ending(outcome=why)

    async def _vanished(self, child: ChildProcess, kills: int) -> Ending:
        status = await child.end(1.0)
        if status == -signal.SIGTERM and self._leave_by is None:
            # Schedulers signal all processes at once; the worker's own SIGTERM may come second.
            await asyncio.sleep(0.5)
        if self._lost or self._leave_by is not None:
            return Ending(outcome="lost" if self._lost else "left")
        return crashed(status, oom_kills() > kills, self._output)

    async def _over(self, child: ChildProcess, done: Done) -> Ending:
        forks = await child.forks()
        if forks or not done.clean:
            if forks:
                _LOG.info("%s left %d processes behind; killed", self.name, len(forks))
            await child.end()
        return over(done, asked=self._leave_by is not None, alive=child.alive)

    async def _listen(self, child: ChildProcess) -> Done:
        while True:
            message = await child.line.receive()
            if isinstance(message, Done):
                return message
            self._take(child, message)

    def _take(self, child: ChildProcess, message: ToParent) -> None:
        match message:
            case Started():
                self._progress_at = time.monotonic()
            case Reported():
                self._progress_at = time.monotonic()
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

    async def _watch(self) -> Literal["lost", "left", "hung"]:
        while True:
            self._changed.clear()
            now = time.monotonic()
            if self._lost:
                return "lost"
            hung_at = self._progress_at + self._program.progress_timeout
            if now >= hung_at:
                return "hung"
            if self._leave_by is not None and now >= self._leave_by:
                return "left"
            until = hung_at if self._leave_by is None else min(hung_at, self._leave_by)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), until - now)

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
        return FinishTrial(attempt=attempt) if self._stopped else ending.finish(attempt)

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
