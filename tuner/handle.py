"""What training code holds: the trial's parameters, and ways to report, checkpoint and stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuner.decision import Decision

ParamValue = float | int | str | bool


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Point to the checkpoint a new attempt starts from. `step` counts finished steps."""

    step: int
    path: Path


class TrialHandle(Protocol):
    """A leased trial, as user code sees it.

    Guarantees: `report` never blocks longer than the configured time-out and then answers with the
    last known decision; reports reach the server at least once and count once; after a decision to
    stop the outcome is already stored, and returning is all that is left to do.
    """

    @property
    def study(self) -> str:
        """The study's name."""

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""

    @property
    def attempt(self) -> int:
        """How often the trial was leased, from 1."""

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The trial's parameters; only those whose condition holds."""

    @property
    def seed(self) -> int:
        """The seed of this trial's random streams, in [0, 2**31)."""

    @property
    def steps(self) -> int | None:
        """The longest training in steps, if the study names one."""

    @property
    def lr_factor(self) -> float:
        """The level in force now: the starting rate is multiplied by this."""

    @property
    def resume(self) -> Resume | None:
        """The checkpoint to go on from, or None for a fresh start."""

    @property
    def should_stop(self) -> bool:
        """Whether the trial was asked to leave: checkpoint, then return."""

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Report the objective after `step` finished steps (from 1) and get the decision.

        A non-finite `value` says that the trial diverged. Non-finite `metrics` are dropped.
        """

    def checkpoint(self, step: int, path: Path) -> None:
        """Hand over a complete checkpoint file; it counts once the server has it whole."""

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a file, or a folder with all that is in it, with the trial.

        It is kept under `name`, by default its own name, such as `plots/loss.png`; a later one of
        the same name takes its place. It is copied at once, and may be changed afterwards.
        """

    def log(self, text: str) -> None:
        """Write a line to the trial's log."""
