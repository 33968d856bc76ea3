"""The server's answer to a report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tuner.errors import InvalidInput

BASE_LR = "tuner_base_lr"
"""The key of a parameter group under which `apply` keeps the rate at level 1."""


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

    def apply(self, optimizer: Any) -> None:
        """Set the rate of each parameter group of a torch optimizer to its base times `lr_factor`.

        The base is the group's rate at the first call; the group keeps it, so it is saved and
        loaded with the optimizer's state. Applying a decision twice does no harm.

        Raises:
            InvalidInput: a scheduler or an `LRController` sets this optimizer's rate, or it has
                none.
        """
        groups = _groups(optimizer)
        bases = [group.setdefault(BASE_LR, float(group["lr"])) for group in groups]
        for group, base in zip(groups, bases, strict=True):
            _set(group, base * self.lr_factor)


def relevel(optimizer: Any, lr_factor: float) -> None:
    """Set the rate of each parameter group that a decision was applied to before."""
    for group in optimizer.param_groups:
        if BASE_LR in group:
            _set(group, group[BASE_LR] * lr_factor)


def _groups(optimizer: Any) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] | None = getattr(optimizer, "param_groups", None)
    kind = type(optimizer).__name__
    if not groups or any(group.get("lr") is None for group in groups):
        raise InvalidInput(f"a decision applies to a torch optimizer with a rate, not to {kind}")
    if getattr(optimizer, "tuner_controller", None) is not None:
        raise InvalidInput(f"an LRController applies every decision to this {kind} already")
    if any("initial_lr" in group for group in groups):
        raise InvalidInput(
            f"a scheduler sets the rate of this {kind}, too: in place of decision.apply(optimizer) "
            "create tuner.torch.LRController(optimizer, trial) once, which works beside schedulers"
        )
    return groups


def _set(group: dict[str, Any], lr: float) -> None:
    if hasattr(group["lr"], "fill_"):  # a tensor, which captured graphs read in place
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
