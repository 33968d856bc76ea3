"""A trial without a server: for benchmarks, tests, and to try a configuration by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tuner.decision import Decision
from tuner.files import collect, scratch
from tuner.handle import Checkpointing, ParamValue, Resume, existing


@dataclass(frozen=True, kw_only=True)
class LocalReport:
    """What was reported after a step."""

    step: int
    value: float
    metrics: Mapping[str, float]


def _go_on(reports: Sequence[LocalReport]) -> Decision:
    return Decision()


def _stay() -> bool:
    return False


@dataclass(kw_only=True)
class LocalTrial(Checkpointing):
    """A `TrialHandle` that keeps in memory what it is told, and on disk its checkpoints.

    Checkpoints of a state lie in a temporary folder that goes with the trial; files it was given
    stay where they are.

    Args:
        decide: maps the reports so far to the decision on the last; by default always to go on.
        leave: tells whether the trial is asked to leave; by default never.
    """

    params: Mapping[str, ParamValue]
    seed: int = 0
    steps: int | None = None
    lr_factor: float = 1.0
    resume: Resume | None = None
    decide: Callable[[Sequence[LocalReport]], Decision] = _go_on
    leave: Callable[[], bool] = _stay
    study: str = "local"
    number: int = 0
    attempt: int = 1
    reports: list[LocalReport] = field(default_factory=list)
    checkpoints: list[Resume] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    artifacts: dict[str, Path] = field(default_factory=dict)
    _stopped: bool = field(default=False, init=False, repr=False)
    _scratch: Path | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def should_stop(self) -> bool:
        """Whether to end: the last decision was to stop, or the trial was asked to leave."""
        return self._stopped or self.leave()

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Keep a report and decide on it."""
        self.reports.append(LocalReport(step=step, value=value, metrics=dict(metrics or {})))
        decision = self.decide(self.reports)
        self.lr_factor = decision.lr_factor
        self._stopped = decision.stop
        return decision

    @property
    def _folder(self) -> Path:
        if self._scratch is None:
            self._scratch = scratch(self, "tuner-local-")
        return self._scratch

    def _hand_over(self, step: int, path: Path) -> None:
        self.checkpoints.append(Resume(step=step, path=existing(path)))

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Note the files to keep, by name."""
        self.artifacts.update(collect(Path(path), name))

    def log(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)
