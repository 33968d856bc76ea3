"""A moving average of the weights, evaluated in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tuner.train.update import fill
from tuner.train.weights import Flat


class Average:
    """Average the weights and the floating buffers (a batch norm's statistics) over the steps.

    As torch's `AveragedModel` with `get_ema_multi_avg_fn`, in one operation for all weights and
    without reading the device. The decay rises to its value over the first steps,
    `min(decay, (1 + n) / (10 + n))` after `n` of them, so that the first weights are soon
    forgotten.
    """

    def __init__(self, model: nn.Module, weights: Flat, decay: float) -> None:
        self._decay = decay
        self._now = {"weights": weights.value} | {
            f"buffer.{name}": buffer
            for name, buffer in model.named_buffers()
            if buffer.is_floating_point()
        }
        self.mean: dict[str, Tensor] = {name: now.clone() for name, now in self._now.items()}
        self._steps = 0

    def update(self) -> None:
        """Take the weights after a step in."""
        keep = 0.0 if self._steps == 0 else min(self._decay, (1 + self._steps) / (10 + self._steps))
        for name, mean in self.mean.items():
            mean.lerp_(self._now[name], 1 - keep)
        self._steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model compute with the average; then give it its own weights back."""
        own = {name: now.clone() for name, now in self._now.items()}
        fill(self._now, self.mean)
        try:
            yield
        finally:
            fill(self._now, own)

    def tree(self) -> dict[str, Any]:
        """Return the state as a checkpoint holds it."""
        return {"steps": self._steps, "mean": self.mean}

    def take(self, tree: Mapping[str, Any]) -> None:
        """Take the state back.

        Raises:
            KeyError, ValueError: it does not fit.
        """
        fill(self.mean, tree["mean"])
        self._steps = int(tree["steps"])


@torch.no_grad()
def apply_saved(model: nn.Module, weights: Flat, tree: Mapping[str, Any]) -> None:
    """Give a model the averaged weights that a checkpoint holds, if it holds any.

    Raises:
        KeyError, ValueError: they do not fit.
    """
    if "average" in tree:
        average = Average(model, weights, 0.0)
        average.take(tree["average"])
        fill(average._now, average.mean)
