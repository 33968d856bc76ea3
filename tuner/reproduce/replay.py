"""The decisions of a recorded trial, as a file between two processes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tuner.decision import Action, Decision, Outcome
from tuner.reproduce.recorded import Recorded

_BY_ITSELF = (Outcome.COMPLETE, Outcome.FAILED, Outcome.OOM)


class Replay(BaseModel):
    """The levels in force, by step in order, and the outcome of the decision to stop.

    `outcome` is None if the trial was not stopped and ended by itself.
    """

    model_config = ConfigDict(frozen=True)

    levels: list[tuple[int, float]]
    outcome: Outcome | None

    @classmethod
    def of(cls, recorded: Recorded) -> Replay:
        """Return a trial's decisions; one that still runs is stopped after its last report."""
        stopped = recorded.outcome not in _BY_ITSELF
        outcome = (recorded.outcome or Outcome.CANCELLED) if stopped else None
        return cls(levels=[(r.step, r.lr_factor) for r in recorded.curve], outcome=outcome)

    def decision(self, step: int) -> Decision:
        """Return the decision on a report, as it was applied: the level of the steps after it."""
        later = next((level for at, level in self.levels if at > step), None)
        if later is not None:
            return Decision(lr_factor=later)
        level = self.levels[-1][1] if self.levels else 1.0
        if self.outcome is None:
            return Decision(lr_factor=level)
        return Decision(
            action=Action.STOP, lr_factor=level, reason="as recorded", outcome=self.outcome
        )
