"""A leased trial in the hands of people who run their own training loop."""

from __future__ import annotations

import logging
import math
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from tuner.client.heart import Heart
from tuner.client.outbox import Outbox
from tuner.client.recording import Recording
from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.client.upload import Files
from tuner.decision import Decision
from tuner.errors import ServerUnreachable, StaleAttempt, TunerError, Unavailable
from tuner.files import collect, scratch
from tuner.handle import Checkpointing, ParamValue, Resume, existing
from tuner.trial import INHERITED
from tuner.wire import (
    FinishTrial,
    LeaseGrant,
    ReleaseTrial,
    TrialAfter,
)

_LOG = logging.getLogger("tuner.trial")
_LONGEST_ERROR = 20_000
_RECORD_S = 5.0
"""How long the end of a trial waits for its record, which the first one of a process may need."""
_AWAY = (ServerUnreachable, Unavailable)


class LeasedTrial(Checkpointing):
    """A trial to train now; a `tuner.handle.TrialHandle`.

    A thread renews the lease until the trial is finished, failed or released. As a context manager
    the trial ends with its block: complete at its end (unless it ended before), failed by an
    exception, released by Ctrl-C.

    Guarantees: `report` answers within its time-out, with the last decision known when the server
    is away; such reports are sent again, in order, with the next one and before the end.
    """

    def __init__(
        self,
        transport: Transport,
        grant: LeaseGrant,
        *,
        heartbeat_s: float = 10.0,
        report_timeout_s: float = 10.0,
        record: bool = False,
    ) -> None:
        self._transport = transport
        self._grant = grant
        self._patience = Patience(total=report_timeout_s)
        self._ended: TrialAfter | None = None
        self._lock = threading.RLock()
        self._heart = Heart(transport, grant.lease, grant.attempt, interval_s=heartbeat_s)
        self._heart.start()
        self._reports = Outbox(transport, grant, self._heart)
        self._recording = Recording(transport, grant) if record else None
        self._files = Files(transport, grant)
        self._scratch: Path | None = None

    @property
    def study(self) -> str:
        """The study's name."""
        return self._grant.study

    @property
    def study_id(self) -> int:
        """The study's id."""
        return self._grant.study_id

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self._grant.number

    @property
    def attempt(self) -> int:
        """How often the trial was leased, from 1."""
        return self._grant.attempt

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The trial's parameters; only those whose condition holds."""
        return MappingProxyType(self._grant.params)

    @property
    def seed(self) -> int:
        """The seed of this trial's random streams, in [0, 2**31)."""
        return self._grant.seed

    @property
    def steps(self) -> int | None:
        """The longest training in steps, if the study names one."""
        return self._grant.steps

    @property
    def lr_factor(self) -> float:
        """The level in force now: the starting rate is multiplied by this."""
        return self._reports.decision.lr_factor

    @property
    def decision(self) -> Decision:
        """The last decision known."""
        return self._reports.decision

    @property
    def resume(self) -> Resume | None:
        """The checkpoint to go on from, or None for a fresh start. It is fetched when asked for.

        Raises:
            StaleAttempt: it can't be used; the trial was given back, to go on from an earlier one.
        """
        held = self._grant.resume
        if held is None:
            return None
        path = self._folder / f"step-{held.step}.ckpt"
        if not path.exists():
            part = path.with_suffix(".part")
            self._files.fetch(held, part)
            part.replace(path)
        return Resume(step=held.step, path=path, inherited=held.attempt == INHERITED)

    @property
    def should_stop(self) -> bool:
        """Whether training should end: the server said so, or the lease is gone."""
        return self._over is not None or self._reports.decision.stop or self._heart.lost is not None

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Report the objective after `step` finished steps (from 1) and get the decision.

        A non-finite `value` says that the trial diverged. Non-finite `metrics` are dropped.

        Raises:
            StaleAttempt: the lease is gone; the trial runs elsewhere or was cancelled.
            ReportMismatch: another value was reported at this step before.
            InvalidInput: a step or a metric's name is not valid.
        """
        with self._lock:
            if self._over is not None:
                return self._reports.decision
            self._reports.put(step, value, metrics)
            try:
                self._reports.send(self._patience)
            except _AWAY as exc:
                _LOG.warning("trial %d: report %d waits: %s", self.number, step, exc.detail)
            return self._reports.decision

    def finish(self, value: float | None = None) -> TrialAfter:
        """End the trial as complete; a non-finite `value` ends it as diverged.

        Args:
            value: the trial's final objective; by default what the reports say.

        Raises:
            InvalidInput: there is neither a value nor a report.
        """
        if value is not None and not math.isfinite(value):
            return self._end(outcome="diverged")
        return self._end(outcome="complete", value=None if value is None else float(value))

    def fail(self, error: str | BaseException, *, retry: bool = True) -> TrialAfter:
        """End this attempt as failed.

        Args:
            error: what went wrong; of an exception the traceback's end is kept.
            retry: whether the trial may run again, as far as the study's `retry.max` goes.
        """
        text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        return self._end(outcome="failed", error=text[-_LONGEST_ERROR:], retry=retry)

    def release(self, reason: str = "") -> TrialAfter:
        """Give the trial back unharmed: another attempt may run it."""
        body = ReleaseTrial(attempt=self.attempt, reason=reason[:500])
        return self._close(lambda: self._post(TrialAfter, "release", body))

    def _hand_over(self, step: int, path: Path) -> None:
        """Store a complete checkpoint file, after the reports that wait; then it is deleted.

        One that can't be stored now is only logged: the one before stays current.

        Raises:
            InvalidInput: there is no such file.
            StaleAttempt: the lease is gone.
        """
        file = existing(path)
        with self._lock:
            try:
                if self._over is None:
                    self._reports.send(self._patience)
                self._files.checkpoint(step, file)
            except StaleAttempt:
                raise
            except TunerError as exc:
                _LOG.warning("trial %d: checkpoint %d was not stored: %s", self.number, step, exc)
        file.unlink(missing_ok=True)

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a file, or a folder with all that is in it, with the trial.

        Raises:
            InvalidInput: there is nothing at `path`, or the name is not valid.
            StaleAttempt: the lease is gone; it may still be used for some minutes after the end.
            TunerError: it can't be stored.
        """
        for one, file in collect(Path(path), name):
            self._files.artifact(one, file)

    def log(self, text: str) -> None:
        """Write a line to the log `tuner.trial`."""
        _LOG.info("%s trial %d: %s", self.study, self.number, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            if self._over is None:
                self._leave(exc)
        finally:
            self._heart.stop()
            self._recorded()

    @property
    def _over(self) -> TrialAfter | None:
        return self._ended or self._reports.over

    @property
    def _folder(self) -> Path:
        if self._scratch is None:
            self._scratch = scratch(self, "tuner-trial-")
        return self._scratch

    def _leave(self, exc: BaseException | None) -> None:
        if exc is None:
            self.finish()
            return
        try:
            if isinstance(exc, Exception):
                self.fail(exc)
            else:
                self.release(type(exc).__name__)
        except TunerError as problem:
            exc.add_note(f"trial {self.number} could not be given back: {problem.detail}")

    def __repr__(self) -> str:
        return f"<LeasedTrial {self.number} of {self.study!r}, {dict(self.params)}>"

    def _end(
        self,
        *,
        outcome: Literal["complete", "diverged", "failed"],
        value: float | None = None,
        error: str = "",
        retry: bool = True,
    ) -> TrialAfter:
        body = FinishTrial(
            attempt=self.attempt, outcome=outcome, value=value, error=error, retry=retry
        )
        return self._close(lambda: self._post(TrialAfter, "finish", body))

    def _close(self, send: Callable[[], TrialAfter]) -> TrialAfter:
        with self._lock:
            if self._over is None:
                self._reports.send(self._transport.patience)
            over = self._over
            if over is None:
                self._reports.check_held()
                over = self._ended = send()
                self._heart.stop()
            self._recorded()
            return over

    def _recorded(self) -> None:
        if self._recording is not None:
            self._recording.wait(_RECORD_S)

    def _post(
        self, reply: type[TrialAfter], verb: str, body: FinishTrial | ReleaseTrial
    ) -> TrialAfter:
        path = f"/leases/{self._grant.lease}/{verb}"
        return self._transport.post(reply, path, body, keyed=False)
