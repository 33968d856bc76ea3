"""What the callbacks for frameworks share: one report for each validation, and its decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tuner.checkpoint.objects import nearest
from tuner.decision import Decision
from tuner.errors import InvalidInput, TrialInterrupted
from tuner.handle import TrialHandle

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,99}")


class Steering:
    """Reports a trial's validations, counted from 1 over all its attempts.

    `lr_factor` is the level in force in this process, also where only another one reports.

    Args:
        trial: the trial that trains here.
        metric: which of a validation's metrics is the objective.
    """

    def __init__(self, trial: TrialHandle, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self.step = self.saved = 0 if trial.resume is None else trial.resume.step
        self.lr_factor = trial.lr_factor
        self._seen: dict[str, None] = {}

    def speaks_in_each_of(self, processes: int) -> bool:
        """Tell whether the trial is to be called in each of a training's processes.

        So it is in the only one, and in those that the worker started: their calls are one.
        """
        return processes == 1 or getattr(self.trial, "processes", 1) == processes

    def report(self, metrics: Mapping[str, Any]) -> Decision | None:
        """Report a validation and return the decision; None if the objective is not in it."""
        numbers = _numbers(metrics)
        self._seen |= dict.fromkeys(numbers)
        if self.metric not in numbers:
            return None
        self.step += 1
        value = numbers.pop(self.metric)
        named = {name: one for name, one in numbers.items() if _NAME.fullmatch(name)}
        decision = self.trial.report(self.step, value, named)
        self.lr_factor = decision.lr_factor
        return decision

    def report_for_all(
        self,
        metrics: Mapping[str, Any],
        processes: int,
        rank: int,
        broadcast: Callable[[Any], Any],
    ) -> Decision | None:
        """Report a validation of several processes; all of them call this.

        Args:
            metrics: what this process measured; of those that differ rank 0's count.
            processes: how many there are.
            rank: this one's number, from 0.
            broadcast: returns rank 0's argument in each of them.
        """
        if self.speaks_in_each_of(processes):
            return self.report(metrics)
        decision = self.report(metrics) if rank == 0 else None
        told: tuple[Decision | None, int, float] = broadcast((decision, self.step, self.lr_factor))
        decision, self.step, self.lr_factor = told
        return decision

    def leave_if_asked(self) -> None:
        """Leave the training if the trial was asked to; the last checkpoint is handed over already.

        Raises:
            TrialInterrupted: it was.
        """
        if self.trial.should_stop:
            raise TrialInterrupted("the trial was asked to leave")

    def ended(self) -> None:
        """Check at the end of a training that the objective was there at all.

        Raises:
            InvalidInput: it was in no validation's metrics.
        """
        if self.step == 0:
            near = nearest(self.metric, self._seen)
            there = ", ".join(self._seen) or "none"
            raise InvalidInput(f"no metric was named {self.metric!r}{near}; there were: {there}")


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in metrics.items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue
    return found
