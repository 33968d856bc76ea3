"""What the callbacks for frameworks share: one report for each validation, and its decision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tuner.checkpoint.objects import nearest
from tuner.decision import Decision
from tuner.errors import InvalidInput, TrialInterrupted
from tuner.handle import TrialHandle

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,99}")


class Steering:
    """Reports a trial's validations, counted from 1 over all its attempts.

    Args:
        trial: the trial that trains here.
        metric: which of a validation's metrics is the objective.
    """

    def __init__(self, trial: TrialHandle, metric: str) -> None:
        self.trial = trial
        self.metric = metric
        self.step = self.saved = 0 if trial.resume is None else trial.resume.step
        self._seen: dict[str, None] = {}

    def report(self, metrics: Mapping[str, Any]) -> Decision | None:
        """Report a validation and return the decision; None if the objective is not in it."""
        numbers = _numbers(metrics)
        self._seen |= dict.fromkeys(numbers)
        if self.metric not in numbers:
            return None
        self.step += 1
        value = numbers.pop(self.metric)
        named = {name: one for name, one in numbers.items() if _NAME.fullmatch(name)}
        return self.trial.report(self.step, value, named)

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
