"""What is measured of a split beside mean loss and accuracy: of sums that add up over its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Metrics of a whole split.

    Args:
        count: maps predictions and targets to numbers that are added up over chunks, [numbers].
        read: turns their means over the rows into metrics, without the split's name.
    """

    count: Callable[[Tensor, Tensor], Tensor]
    read: Callable[[Sequence[float]], Mapping[str, float]]


def rare(label: int) -> Scores:
    """Return recall, precision and F1 of one class: 0 where there is nothing to divide by."""

    def count(logits: Tensor, labels: Tensor) -> Tensor:
        said, is_so = logits.argmax(1) == label, labels == label
        return torch.stack((said & is_so, said, is_so)).sum(1).float()

    def read(means: Sequence[float]) -> dict[str, float]:
        both, said, is_so = means
        return {
            "rare_recall": _ratio(both, is_so),
            "rare_precision": _ratio(both, said),
            "rare_f1": _ratio(2 * both, said + is_so),
        }

    return Scores(count=count, read=read)


def balanced(classes: int) -> Scores:
    """Return the mean recall of the classes that a split has."""

    def count(logits: Tensor, labels: Tensor) -> Tensor:
        own = F.one_hot(labels, classes).float()
        right = (logits.argmax(1) == labels).float()
        return torch.cat((own.sum(0), (own * right[:, None]).sum(0)))

    def read(means: Sequence[float]) -> dict[str, float]:
        there, right = means[:classes], means[classes:]
        shares = [b / a for a, b in zip(there, right, strict=True) if a > 0]
        return {"balanced_accuracy": math.fsum(shares) / len(shares)}

    return Scores(count=count, read=read)


def distances(unit: float) -> Scores:
    """Return the root of the mean squared error in the target's unit, and R².

    Args:
        unit: what a prediction of 1 is in the target's unit.
    """

    def count(predicted: Tensor, target: Tensor) -> Tensor:
        squares = torch.stack(((predicted - target).square(), target, target.square()))
        return squares.double().sum(1)

    def read(means: Sequence[float]) -> dict[str, float]:
        error, mean, square = means
        variance = square - mean**2
        return {"rmse": unit * math.sqrt(error), "r2": 1 - error / variance if variance else 0.0}

    return Scores(count=count, read=read)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
