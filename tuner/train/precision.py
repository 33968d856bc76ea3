"""Lower precision: autocast of forward passes, and the loss scale that float16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_GROWTH, _BACKOFF, _START = 2.0, 0.5, 2.0**16


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


class LossScale:
    """Scale the loss so that float16 gradients don't vanish, as `torch.amp.GradScaler` does.

    Starts at 2**16, halves after a step whose gradient overflowed (the step is left out), doubles
    after `interval` good steps in a row. All on the device: nothing is read back.
    """

    def __init__(self, device: torch.device, interval: int = 2000) -> None:
        self._interval = interval
        self.scale = torch.full((), _START, device=device)
        self.good = torch.zeros((), device=device)

    def adjust(self, finite: Tensor) -> None:
        """Move the scale after a step whose gradient was finite or not, [] bool."""
        good = torch.where(finite, self.good + 1, 0.0)
        grow = good >= self._interval
        up = torch.where(grow, self.scale * _GROWTH, self.scale)
        self.scale.copy_(torch.where(finite, up, self.scale * _BACKOFF))
        self.good.copy_(torch.where(grow, 0.0, good))
