"""The level of a trial beside a scheduler of one's own."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer

from tuner.decision import BASE_LR
from tuner.errors import InvalidInput


class Levelled(Protocol):
    """What a controller needs of a trial."""

    @property
    def lr_factor(self) -> float:
        """The level in force now."""


class LRController:
    """Multiply the rate of every step of an optimizer by the trial's level.

    `group["lr"]` stays what the optimizer and its schedulers make of it, so that any scheduler,
    also one that computes the next rate from the last, goes its own way; while `optimizer.step()`
    runs, each group's rate is that times `trial.lr_factor`. Nothing is to be done on a decision.
    It has no state to save: the level belongs to the trial. Of several for one optimizer the newest
    counts.
    """

    def __init__(self, optimizer: Optimizer, trial: Levelled) -> None:
        """Take over the optimizer's steps.

        Raises:
            InvalidInput: it is no torch optimizer, or `decision.apply` was used on it before.
        """
        self._optimizer = _checked(optimizer)
        self._trial = trial
        self._numbers: list[tuple[dict[str, Any], float]] = []
        self._tensors: list[tuple[Tensor, Tensor]] = []
        older = getattr(self._optimizer, "tuner_controller", None)
        if older is not None:
            older.detach()
        self._optimizer.tuner_controller = self  # type: ignore[attr-defined]
        self._hooks = (
            self._optimizer.register_step_pre_hook(lambda *_: self._scale()),
            self._optimizer.register_step_post_hook(lambda *_: self._put_back()),
            self._optimizer.register_state_dict_pre_hook(lambda *_: self._put_back()),
        )

    @property
    def lr(self) -> list[float]:
        """The rate of the next step in each parameter group, the level included."""
        level = self._trial.lr_factor
        return [float(group["lr"]) * level for group in self._optimizer.param_groups]

    def detach(self) -> None:
        """Leave the optimizer's steps alone again."""
        self._put_back()
        for hook in self._hooks:
            hook.remove()
        self._optimizer.tuner_controller = None  # type: ignore[attr-defined]

    def _scale(self) -> None:
        # A step that raised had no end, and a subclass's step may call its parent's.
        self._put_back()
        level = self._trial.lr_factor
        if level == 1.0:
            return
        groups = self._optimizer.param_groups
        tensors = {id(g["lr"]): g["lr"] for g in groups if isinstance(g["lr"], Tensor)}
        self._tensors = [(lr, lr.detach().clone()) for lr in tensors.values()]
        self._numbers = [(g, g["lr"]) for g in groups if not isinstance(g["lr"], Tensor)]
        for lr in tensors.values():  # in place, for graphs; groups may share one
            lr.detach().mul_(level)
        for group, number in self._numbers:
            group["lr"] = number * level

    def _put_back(self) -> None:
        for lr, before in self._tensors:
            lr.detach().copy_(before)
        for group, number in self._numbers:
            group["lr"] = number
        self._tensors, self._numbers = [], []


def _checked(optimizer: Any) -> Optimizer:
    while isinstance(getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = optimizer.optimizer  # what Accelerate and Lightning wrap
    groups = optimizer.param_groups if isinstance(optimizer, Optimizer) else []
    if not groups or any(group.get("lr") is None for group in groups):
        kind = type(optimizer).__name__
        raise InvalidInput(f"LRController steers a torch optimizer with a rate, not {kind}")
    if any(BASE_LR in group for group in groups):
        raise InvalidInput(
            "decision.apply was used on this optimizer; use either it or an LRController"
        )
    return optimizer  # type: ignore[no-any-return]
