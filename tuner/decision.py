"""The server's answer to a report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a trial ended. A trial ends once."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    CONVERGED = "converged"
    DIVERGED = "diverged"
    OOM = "oom"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What the trial should do next."""

    CONTINUE = "continue"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """State where a trial stands: a level, not an edge.

    `lr_factor` is the product of all cuts since the trial began: the learning rate in force is the
    trial's starting rate times this. A lost or repeated decision does no harm.
    """

    action: Action = Action.CONTINUE
    lr_factor: float = 1.0
    reason: str = ""
    outcome: Outcome | None = None

    @property
    def stop(self) -> bool:
        """Tell whether training should end now."""
        return self.action is Action.STOP
