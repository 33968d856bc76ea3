"""The tasks: data, network, loss and accuracy of each, under the names of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train import characters, data, imbalance, models, scores
from tuner.train.catalog import TASKS, TaskInfo
from tuner.train.models import Staged
from tuner.train.recipe import PLAIN, Network
from tuner.train.scores import Scores

PerRow = Callable[[Tensor, Tensor], Tensor]


class Build(Protocol):
    """Builds a network."""

    def __call__(self, network: Network = PLAIN) -> Staged:
        """Return it in a shape, by default the task's own."""


ADDING_TOLERANCE = 0.1


@dataclass(frozen=True, kw_only=True)
class Task:
    """Everything a training needs that no hyperparameter changes.

    Args:
        data: returns the data on the CPU, the same object each time.
        model: builds the network in a shape; its initial weights are overwritten.
        loss: maps predictions and targets to one loss per row, [rows].
        accuracy: maps them to the share of the row that counts as right, 0 or 1 of most tasks,
            [rows]; None if nothing is right or wrong.
        scores: what else is measured of a split.
        identity: what more than the name tells this task from others, in plain values.
        labels: the classes' names, where they are not their numbers.
        rows: of each split, `train`, `val`, `test` and `unlabelled`, where its rows stand in the
            file that they come from: from 1, its header not counted. Empty of data that is no file.
    """

    info: TaskInfo
    data: Callable[[], data.Data]
    model: Build
    loss: PerRow
    accuracy: PerRow | None
    scores: Scores | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] = ()
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def label(self, number: int) -> str:
        """Return a class's name."""
        return self.labels[number] if self.labels else str(number)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each row in nats, [rows]."""
    return F.cross_entropy(logits, labels, reduction="none")


def right_class(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 where the largest logit is the label's, [rows]."""
    return (logits.argmax(1) == labels).float()


def squared_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of each row, [rows]."""
    return (predicted - target).square()


def close(predicted: Tensor, target: Tensor) -> Tensor:
    """Return 1 where the absolute error is below 0.1, [rows]."""
    return ((predicted - target).abs() < ADDING_TOLERANCE).float()


_ALL: Mapping[str, Task] = {
    "digits-mlp": Task(
        info=TASKS["digits-mlp"],
        data=data.digits,
        model=models.Mlp,
        loss=cross_entropy,
        accuracy=right_class,
    ),
    "digits-cnn": Task(
        info=TASKS["digits-cnn"],
        data=data.digit_images,
        model=models.Cnn,
        loss=cross_entropy,
        accuracy=right_class,
    ),
    "adding-lstm": Task(
        info=TASKS["adding-lstm"],
        data=data.adding,
        model=models.Lstm,
        loss=squared_error,
        accuracy=close,
    ),
    "digits-rare": Task(
        info=TASKS["digits-rare"],
        data=imbalance.rare_digits,
        model=imbalance.RareMlp,
        loss=cross_entropy,
        accuracy=right_class,
        scores=scores.rare(1),
    ),
    "text-lstm": Task(
        info=TASKS["text-lstm"],
        data=characters.characters,
        model=characters.CharacterLstm,
        loss=characters.cross_entropy,
        accuracy=characters.right,
    ),
}


def get(name: str) -> Task:
    """Return the task of this name, one in the catalogue."""
    return _ALL[name]


def names() -> tuple[str, ...]:
    """Return the names of the tasks here, those that are supervised."""
    return tuple(_ALL)
