"""How far a study is, in one line of text."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from tuner.decision import Outcome
from tuner.trial import StudyState
from tuner.wire import StudyView


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a study stands. `total` counts the finalists' runs too; `seconds_left` is a guess."""

    ended: int
    running: int
    total: int
    seconds_left: float | None

    @property
    def share(self) -> float:
        """The part that is done, in [0, 1]."""
        return min(1.0, self.ended / self.total) if self.total else 0.0


def progress(view: StudyView, now: datetime) -> Progress:
    """Return a study's progress; the time left assumes that it goes on at its pace so far."""
    ended = sum(view.counts.get(outcome, 0) for outcome in Outcome)
    total = max(_planned(view.spec), ended)
    left: float | None = None
    here = ended - view.adopted
    if view.state is StudyState.RUNNING and view.started_at is not None and here > 0:
        elapsed = (now - view.started_at).total_seconds()
        left = max(0.0, elapsed * (total - ended) / here)
    running = view.counts.get("running", 0)
    return Progress(ended=ended, running=running, total=total, seconds_left=left)


def progress_line(view: StudyView, now: datetime) -> str:
    """Return one line: state, trials, best value, time left, and why nothing runs."""
    at = progress(view, now)
    parts = [f"{view.name}: {view.state}", f"{at.ended}/{at.total} trials"]
    if at.running:
        parts.append(f"{at.running} running")
    if failed := view.counts.get(Outcome.FAILED, 0):
        parts.append(f"{failed} failed")
    if view.best is not None:
        metric = view.spec.get("objective", {}).get("metric", "value")
        parts.append(f"best {metric} {view.best.value:.6g} (trial {view.best.number})")
    if at.seconds_left is not None:
        parts.append(f"about {duration(at.seconds_left)} left")
    if view.note and view.note != view.state:
        parts.append(view.note)
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a length of time for people: `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class ProgressLine:
    """One line of progress: rewritten in place on a terminal, elsewhere printed when it changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._shown = ""

    def show(self, view: StudyView) -> None:
        """Show where the study stands."""
        text = progress_line(view, datetime.now(UTC))
        if self._live:
            text = text[: shutil.get_terminal_size().columns - 1]
            self._stream.write(f"\r{text:<{len(self._shown)}}")
            self._shown = text
        else:
            milestone = f"{view.state} {view.counts} {view.best and view.best.value} {view.note}"
            if milestone == self._shown:
                return
            self._stream.write(text + "\n")
            self._shown = milestone
        self._stream.flush()

    def close(self) -> None:
        """End the line."""
        if self._live and self._shown:
            self._stream.write("\n")
            self._stream.flush()


def _planned(spec: dict[str, Any]) -> int:
    repeats = spec.get("repeats") or {}
    extra = repeats.get("finalists", 0) * repeats.get("seeds", 0)
    trials = spec.get("budget", {}).get("trials", 0)
    return int(trials + extra)
