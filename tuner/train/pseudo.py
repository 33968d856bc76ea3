"""Rows without labels: which they are, and how sure predictions serve as labels of theirs."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from tuner.errors import InvalidInput
from tuner.train.data import Data, Split
from tuner.train.streams import derive

_SAME_FOR_ALL = 0  # trials of all seeds have the same labels, or they would not compare


def split_labels(data: Data, share: float) -> tuple[Data, Tensor | None]:
    """Return the data with a share of the training rows, and the inputs of those without a label.

    These are the other training rows, and those whose target nobody knows; None if there are none.
    Validation and test rows stay where they are: they are never among them.
    """
    rows = len(data.train)
    kept = max(1, round(rows * share))
    if kept == rows:
        return data, data.unlabelled
    draw = torch.Generator().manual_seed(derive(_SAME_FOR_ALL, "labelled"))
    order = torch.randperm(rows, generator=draw).to(data.train.x.device)
    known, others = order[:kept].sort().values, order[kept:].sort().values
    train = Split(x=data.train.x[known], y=data.train.y[known])
    hidden = data.train.x[others]
    if data.unlabelled is not None:
        hidden = torch.cat((hidden, data.unlabelled.to(hidden.device)))
    return Data(train=train, val=data.val, test=data.test), hidden


class Unlabelled:
    """Hands out rows without labels, as many a batch as there are rows with labels."""

    def __init__(self, x: Tensor, seed: int) -> None:
        self._x = x
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    @classmethod
    def of(cls, x: Tensor | None, beside: Tensor, seed: int) -> Self:
        """Take the rows to where others lie.

        Raises:
            InvalidInput: there are none.
        """
        if x is None:
            raise InvalidInput("pseudo_labels: each row has its label; give labelled below 1")
        return cls(x.to(beside.device), seed)

    def batch(self, epoch: int, number: int, size: int) -> Tensor:
        """Return the rows of a batch; within an epoch one after another, from the start again."""
        if epoch != self._epoch:
            draw = torch.Generator().manual_seed(derive(self._seed, "unlabelled", epoch))
            self._order = torch.randperm(len(self._x), generator=draw)
            self._epoch = epoch
        places = torch.arange(number * size, (number + 1) * size) % len(self._order)
        return self._x[self._order[places].to(self._x.device)]


def sure_labels(logits: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Return the likeliest class of each row, and 1 where its probability is enough, else 0."""
    likeliest = logits.softmax(1).max(1)
    return likeliest.indices, (likeliest.values >= confidence).to(logits.dtype)
