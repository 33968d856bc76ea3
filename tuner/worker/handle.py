"""The trial as code in a child process sees it: a `tuner.handle.TrialHandle` over the channel."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from tuner.decision import Decision
from tuner.errors import BY_SLUG, InvalidInput, TrialInterrupted, TunerError
from tuner.files import collect
from tuner.handle import Checkpointing, ParamValue, Resume, existing, whole_step
from tuner.wire import Metrics
from tuner.worker.messages import (
    Decided,
    Kept,
    Later,
    Leave,
    Reported,
    Saved,
    Start,
    ToChild,
    ToParent,
)

_METRICS: TypeAdapter[dict[str, float]] = TypeAdapter(Metrics)


class Line(Protocol):
    """The child's end of the channel."""

    def send(self, message: ToParent) -> None:
        """Send a message."""

    def receive(self, timeout: float | None) -> ToChild | None:
        """Return the next message, None after `timeout` seconds."""


class ChildHandle(Checkpointing):
    """A trial under way in this process. Safe for threads.

    Guarantees: `report` waits for its decision at most `report_timeout` seconds, and after a wait
    in vain no further report waits until the server has answered all reports before it. The level
    changes in `report` alone, so that each report names the one that was in force.
    """

    def __init__(
        self, line: Line, start: Start, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = line
        self._start = start
        self._clock = clock
        self._lock = threading.RLock()
        self._decision = Decision(lr_factor=start.lr_factor)
        self._newest = self._decision
        self._problem: TunerError | None = None
        self._seq = 0
        self._answered = 0
        self._told_later = 0
        self._leave = False
        self._warned = False
        self._saved = 0
        self.last_step: int | None = None
        self.left = False

    @property
    def study(self) -> str:
        """The study's name."""
        return self._start.study

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self._start.number

    @property
    def attempt(self) -> int:
        """How often the trial was leased, from 1."""
        return self._start.attempt

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The trial's parameters."""
        return MappingProxyType(self._start.params)

    @property
    def seed(self) -> int:
        """The seed of this trial's random streams."""
        return self._start.seed

    @property
    def steps(self) -> int | None:
        """The longest training in steps, if the study names one."""
        return self._start.steps

    @property
    def lr_factor(self) -> float:
        """The level in force now."""
        return self._decision.lr_factor

    @property
    def resume(self) -> Resume | None:
        """The checkpoint to go on from, or None for a fresh start."""
        resume = self._start.resume
        if resume is None:
            return None
        return Resume(step=resume.step, path=Path(resume.path), inherited=resume.inherited)

    @property
    def stopped(self) -> bool:
        """Whether a decision to stop has been returned: the outcome is stored."""
        return self._decision.stop

    @property
    def decision(self) -> Decision:
        """The last decision returned."""
        return self._decision

    @property
    def leaving(self) -> bool:
        """Whether the trial was asked to leave; unlike with `should_stop`, it may not know yet."""
        with self._lock:
            self._drain()
            return self._leave

    @property
    def should_stop(self) -> bool:
        """Whether to end: the decision was to stop, or the trial was asked to leave."""
        with self._lock:
            self._drain()
            self.left |= self._leave
            return self._leave or self._newest.stop

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Report the objective after `step` finished steps and get the decision.

        Raises:
            InvalidInput: the step or a metric's name is not valid.
            ReportMismatch: another value was reported for this step.
            TrialInterrupted: the trial was asked to leave before the previous report returned.
        """
        item = self._item(step, value, metrics or {})
        with self._lock:
            self._drain()
            if self._newest.stop:
                self._decision = self._newest
                return self._decision
            if self.left or self._warned:
                self.left = True
                raise TrialInterrupted("the trial was asked to leave")
            patient = self._answered == self._seq
            self._seq += 1
            sent = item.model_copy(update={"seq": self._seq, "lr_factor": self._decision.lr_factor})
            self._line.send(sent)
            self.last_step = max(self.last_step or 0, item.step)
            if patient:
                self._wait()
            self._warned = self._leave
            self._decision = self._newest
            problem, self._problem = self._problem, None
            if problem is not None:
                raise problem
            return self._decision

    def catch_up(self) -> Decision:
        """Take in what the server said since the last report, as the decision in force from now on.

        Raises:
            ChannelClosed: the parent is gone.
        """
        with self._lock:
            self._drain()
            self._decision = self._newest
            return self._decision

    @property
    def _folder(self) -> Path:
        return Path(self._start.work)

    def _hand_over(self, step: int, path: Path) -> None:
        existing(path)
        with self._lock:
            self._saved += 1
            kept = self._folder / f"handed-{self._saved}-{step}.ckpt"
            shutil.move(path, kept)
            self._line.send(Saved(step=step, path=str(kept)))

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a file, or a folder with all that is in it, with the trial.

        Raises:
            InvalidInput: there is nothing at `path`, or the name is not valid.
        """
        for one, file in collect(Path(path), name):
            with self._lock:
                self._saved += 1
                copy = Path(self._start.work) / f"kept-{self._saved}"
            shutil.copyfile(file, copy)
            self._line.send(Kept(name=one, path=str(copy)))

    def log(self, text: str) -> None:
        """Write a line to the trial's log."""
        print(text, flush=True)

    def _item(self, step: int, value: float, metrics: Mapping[str, float]) -> Reported:
        step = whole_step(step)
        try:
            value = float(value)
            finite = {name: float(one) for name, one in metrics.items()}
        except (TypeError, ValueError) as exc:
            raise InvalidInput(f"a report at step {step} holds no number: {exc}") from exc
        finite = {name: one for name, one in finite.items() if math.isfinite(one)}
        try:
            _METRICS.validate_python(finite)
        except ValidationError as exc:
            why = exc.errors(include_url=False)[0]
            raise InvalidInput(f"metric {why['loc'][0]!r}: {why['msg']}") from exc
        return Reported(
            seq=0,
            step=step,
            value=value if math.isfinite(value) else None,
            lr_factor=self._decision.lr_factor,
            metrics=finite,
        )

    def _wait(self) -> None:
        deadline = self._clock() + self._start.report_timeout
        while self._answered < self._seq and self._told_later < self._seq:
            message = self._line.receive(max(0.0, deadline - self._clock()))
            if message is None:
                return
            self._take(message)

    def _drain(self) -> None:
        while (message := self._line.receive(0.0)) is not None:
            self._take(message)

    def _take(self, message: ToChild) -> None:
        match message:
            case Decided():
                self._answered = max(self._answered, message.seq)
                self._take_answer(message)
            case Later():
                self._told_later = message.seq
            case Leave():
                self._leave = True
            case _:
                pass

    def _take_answer(self, message: Decided) -> None:
        if message.problem is not None:
            self._problem = BY_SLUG.get(message.problem, TunerError)(message.detail)
        elif message.decision is not None and not self._newest.stop:
            view = message.decision
            self._newest = Decision(
                action=view.action,
                lr_factor=view.lr_factor,
                reason=view.reason,
                outcome=view.outcome,
            )
