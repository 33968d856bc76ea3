"""Reports what a program prints, where a declared pattern finds it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from tuner.errors import InvalidInput, TrialInterrupted, TunerError
from tuner.lines import Found, Splitter
from tuner.spec.command import Lines
from tuner.worker.handle import ChildHandle

PATIENCE_S = 1.0
"""How long a pattern may take for one line."""


class PatternTooSlow(InvalidInput):
    """A pattern took too long for one line."""


class Scribe:
    """Takes what a program prints and reports what it finds, in the main thread.

    A step that was reported is not reported again; where the pattern names no step, lines count.

    Args:
        handle: the trial.
        lines: what to find.

    Raises:
        InvalidInput: the template or pattern is not valid.
    """

    def __init__(self, handle: ChildHandle, lines: Lines, metric: str) -> None:
        self._handle = handle
        self._reader = lines.reader(metric)
        self._shift = 1 - lines.first_step
        self._splitter = Splitter()
        self._last = handle.resume.step if handle.resume is not None else 0

    def feed(self, data: bytes) -> None:
        """Report what these bytes complete.

        Raises:
            PatternTooSlow: the pattern is one whose time explodes.
        """
        for line in self._splitter.feed(data):
            self._take(line)

    def end(self) -> None:
        """Report what the last line says, if it has no end.

        Raises:
            PatternTooSlow: the pattern is one whose time explodes.
        """
        for line in self._splitter.end():
            self._take(line)

    def _take(self, line: str) -> None:
        with _bounded(PATIENCE_S):
            found = self._reader.read(line)
        if found is None:
            return
        step = self._last + 1 if found.step is None else found.step + self._shift
        if step > self._last:
            self._report(step, found)

    def _report(self, step: int, found: Found) -> None:
        try:
            self._handle.report(step, found.value, found.metrics)
        except TrialInterrupted:
            return  # it was told by a signal
        except TunerError as exc:
            self._handle.log(f"tuner: step {step} was not reported: {exc.detail}")
        self._last = step


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Interrupt what the main thread does, regular expressions included, after some seconds."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise PatternTooSlow(f"the pattern took more than {seconds:g} s for one line")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
