"""The tasks' data: tensors that can be indexed by row, with a split that never changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

ADDING_STEPS = 20
ADDING_ROWS = (4000, 500, 500)
_FREE_SHARE = 0.5  # of a GPU's free memory that data may take; the rest is for the training


@dataclass(frozen=True, kw_only=True)
class Split:
    """Inputs [rows, ...] and targets [rows]."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(self.x.nbytes + self.y.nbytes)

    def to(self, device: torch.device) -> Split:
        """Copy to a device."""
        return Split(x=self.x.to(device), y=self.y.to(device))

    def batches(
        self, order: Tensor, size: int, device: torch.device, *, first: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the rows in `order`, `size` at a time, on `device`, from batch number `first`.

        The last batch may be smaller.
        """
        for rows in torch.split(order.to(self.x.device), size)[first:]:
            x, y = self.x[rows], self.y[rows]
            yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is trained on, what decides, and what is only looked at.

    Args:
        unlabelled: inputs of further rows whose target nobody knows, if there are any.
    """

    train: Split
    val: Split
    test: Split
    unlabelled: Tensor | None = None

    def resident(self, device: torch.device) -> Data:
        """Copy to the device if half of its free memory holds it; else stay in host memory."""
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.train.nbytes + self.val.nbytes + self.test.nbytes > free * _FREE_SHARE:
                return self
        return Data(train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))


def _split(x: Tensor, y: Tensor, sizes: tuple[int, int, int]) -> Data:
    (x1, x2, x3), (y1, y2, y3) = torch.split(x, list(sizes)), torch.split(y, list(sizes))
    return Data(train=Split(x=x1, y=y1), val=Split(x=x2, y=y2), test=Split(x=x3, y=y3))


@cache
def digits() -> Data:
    """Return scikit-learn's 1,797 digits: x [rows, 64] float32, y [rows] int64.

    1,078 / 359 / 360 rows, shuffled by a fixed seed. Each pixel has mean 0 and standard deviation 1
    on the training rows (a pixel that is constant there is 0) and is cut off at ±8.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    # The legacy generator's stream is frozen by numpy's policy (NEP 19), so the split is too.
    rows = np.random.RandomState(0).permutation(len(labels))
    pixels, labels = pixels[rows], labels[rows]
    mean, std = pixels[:1078].mean(0), pixels[:1078].std(0)
    x = ((pixels - mean) / np.where(std > 0, std, 1.0)).clip(-8, 8)
    return _split(torch.tensor(x, dtype=torch.float32), torch.tensor(labels), (1078, 359, 360))


@cache
def digit_pixels() -> Data:
    """Return the same digits, in the same split, with pixels as shares of black, in [0, 1]."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    rows = np.random.RandomState(0).permutation(len(labels))
    x = torch.tensor(pixels[rows] / 16, dtype=torch.float32)
    return _split(x, torch.tensor(labels[rows]), (1078, 359, 360))


@cache
def digit_images() -> Data:
    """Return `digits` as images: x [rows, 1, 8, 8]."""
    flat = digits()

    def shaped(split: Split) -> Split:
        return Split(x=split.x.view(-1, 1, 8, 8), y=split.y)

    return Data(train=shaped(flat.train), val=shaped(flat.val), test=shaped(flat.test))


@cache
def adding(
    rows: tuple[int, int, int] = ADDING_ROWS, steps: int = ADDING_STEPS, seed: int = 7
) -> Data:
    """Return the adding problem (Hochreiter & Schmidhuber 1997, section 5.4, shortened).

    x [rows, steps, 2] float32: numbers uniform in [0, 1), and a marker that is 1 at one place in
    each half, else 0. y [rows] float32: the sum of the two marked numbers. A constant guess has a
    mean squared error of 1/6.
    """
    draw = np.random.RandomState(seed)
    total, half = sum(rows), steps // 2
    numbers = draw.random_sample((total, steps))
    marked = np.stack([draw.randint(0, half, total), draw.randint(half, steps, total)], axis=1)
    markers = np.zeros((total, steps))
    np.put_along_axis(markers, marked, 1.0, axis=1)
    x = torch.tensor(np.stack([numbers, markers], axis=2), dtype=torch.float32)
    y = torch.tensor((numbers * markers).sum(1), dtype=torch.float32)
    return _split(x, y, rows)
