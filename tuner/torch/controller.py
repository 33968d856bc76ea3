"""The level of a trial beside a scheduler of one's own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer

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
        groups = getattr(optimizer, "param_groups", None)
        if not groups or any(group.get("lr") is None for group in groups):
            kind = type(optimizer).__name__
            raise InvalidInput(f"LRController steers a torch optimizer with a rate, not {kind}")
        if any("tuner_base_lr" in group for group in groups):
            raise InvalidInput(
                "decision.apply was used on this optimizer; use either it or an LRController"
            )
        self._optimizer = optimizer
        self._trial = trial
        if getattr(optimizer, "tuner_controller", None) is None:
            optimizer.step = MethodType(_levelled(optimizer.step), optimizer)  # type: ignore[method-assign]
        optimizer.tuner_controller = self  # type: ignore[attr-defined]

    @property
    def lr(self) -> list[float]:
        """The rate of the next step in each parameter group, the level included."""
        level = self._trial.lr_factor
        return [float(group["lr"]) * level for group in self._optimizer.param_groups]

    @contextmanager
    def _at_level(self) -> Iterator[None]:
        level = self._trial.lr_factor
        if level == 1.0:
            yield
            return
        tensors: dict[int, tuple[Tensor, Tensor]] = {}  # groups may share a tensor
        numbers: list[tuple[dict[str, Any], float]] = []
        for group in self._optimizer.param_groups:
            lr = group["lr"]
            if isinstance(lr, Tensor):
                tensors[id(lr)] = (lr, lr.detach().clone())
            else:
                numbers.append((group, lr))
        try:
            for tensor, _ in tensors.values():
                tensor.detach().mul_(level)
            for group, lr in numbers:
                group["lr"] = lr * level
            yield
        finally:
            for tensor, before in tensors.values():
                tensor.detach().copy_(before)
            for group, lr in numbers:
                group["lr"] = lr


def _levelled(step: Callable[..., Any]) -> Callable[..., Any]:
    # Not by torch's step hooks: they are left out after a step that raises, and run twice where a
    # subclass's step calls its parent's.
    @functools.wraps(step)
    def levelled(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        with optimizer.tuner_controller._at_level():
            return step(*args, **kwargs)

    return levelled
