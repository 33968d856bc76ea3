"""The three random streams of a training, each a pure function of the trial's seed.

Nothing random is drawn from torch's global generator, and no generator outlives a batch, so there
is no random state to save: initial weights follow from `(seed, "weights")`, the order of the rows
from `(seed, "order", epoch)`, dropout from `(seed, "dropout", epoch, batch)`.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def derive(seed: int, *path: str | int) -> int:
    """Turn a seed and a path into a seed of its own, in [0, 2**63)."""
    text = "/".join(map(str, (seed, *path))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def weights_generator(seed: int) -> torch.Generator:
    """Return the generator of the initial weights; always on the CPU, so alike on every device."""
    return torch.Generator().manual_seed(derive(seed, "weights"))


def order(seed: int, epoch: int, rows: int) -> Tensor:
    """Return the order of the rows in an epoch: a permutation, [rows] int64, on the CPU."""
    generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
    return torch.randperm(rows, generator=generator)


class Dropout:
    """Set units to 0 with probability `p` and divide the others by `1 - p`.

    `at` moves to a batch of an epoch; calls after it draw one after another.
    """

    def __init__(self, p: float, seed: int, device: torch.device) -> None:
        self._p = p
        self._seed = seed
        self._generator = torch.Generator(device)

    def at(self, epoch: int, batch: int) -> None:
        """Place the stream at the start of a batch."""
        if self._p > 0:
            self._generator.manual_seed(derive(self._seed, "dropout", epoch, batch))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return `hidden` with units dropped; same shape, same expectation."""
        if self._p == 0:
            return hidden
        kept = torch.empty_like(hidden).bernoulli_(1 - self._p, generator=self._generator)
        return hidden * kept.mul_(1 / (1 - self._p))
