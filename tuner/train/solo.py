"""Train one network on rows with targets.

Inside, from the outside in: `Solo`, what the loop over epochs holds; `run_epoch`, over an epoch's
batches; `step`, one batch; `measure` and `evaluate`, what an epoch reports.
In a step nothing is read back from the device and no branch looks at a tensor: what it measures
stays there as a vector, and the end of the epoch reads all of them at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from tuner.handle import Resume
from tuner.train import state, streams, tasks
from tuner.train.data import Data, Split
from tuner.train.engine import Leave, Setting
from tuner.train.models import keep
from tuner.train.precision import autocast
from tuner.train.training import Training

MEASURED = (
    "train_loss",
    "grad_norm",
    "update_ratio",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
)


class Solo:
    """The engine of a supervised task: one network, rows with targets, a loss a row."""

    def __init__(self, setting: Setting) -> None:
        task = tasks.get(setting.info.name)
        self._training = Training.start(
            task, setting.recipe, setting.seed, setting.device, setting.precision, setting.steps
        )
        self._data = task.data().resident(setting.device)
        self._lr = 0.0

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self._training.epoch

    def run_epoch(self, level: float, leave: Leave) -> bool:
        """Train on each row once: see `Engine.run_epoch`."""
        self._lr = self._training.recipe.lr * level
        return run_epoch(self._training, self._data.train, self._lr, leave)

    def measure(self) -> dict[str, float]:
        """Close the epoch: see `Engine.measure`."""
        return measure(self._training, self._data, self._lr)

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it."""
        return self._training.tree()

    def restore(self, resume: Resume) -> None:
        """Go to where a checkpoint was written: see `Engine.restore`."""
        self._training.restore(resume)


def start(setting: Setting) -> Solo:
    """Return a training before its first step."""
    return Solo(setting)


def run_epoch(training: Training, rows: Split, lr: float, leave: Callable[[], bool]) -> bool:
    """Train on each row once, from the batch where the training stands.

    Returns:
        Whether the epoch is finished; False if `leave` said so before.
    """
    training.since = time.monotonic()
    epoch, done = training.epoch, len(training.records)
    order = streams.order(training.seed, epoch, len(rows))
    batches = rows.batches(order, training.recipe.batch_size, training.device, first=done)
    training.model.train()
    for number, (x, y) in enumerate(batches, start=done):
        if leave():
            return False
        training.dropout.at(epoch, number)
        training.records.append(step(training, x, y, lr))
    training.epoch += 1
    return True


def step(training: Training, x: Tensor, y: Tensor, lr: float) -> Tensor:
    """Train on one batch; return its record, [3].

    The gradient is that of the mean loss over the batch's rows.
    """
    with autocast(training.precision, training.device):
        predicted = training.model(x, training.dropout)
    losses = training.task.loss(predicted.float(), y)  # [rows]
    training.updater.backward(losses.mean())
    return torch.cat((losses.detach().sum()[None], training.updater.step(lr)))


def measure(training: Training, data: Data, lr: float) -> dict[str, float]:
    """Close an epoch: return its metrics and forget its records.

    This is the one place where the host waits for the device.
    """
    records = torch.stack(training.records)  # [batches, 3]
    rows = len(data.train)
    read = torch.cat(
        (
            records[:, :1].sum(0) / rows,
            records[:, 1:].mean(0),
            evaluate(training, data.val),
            evaluate(training, data.test),
        )
    ).tolist()
    metrics = dict(zip(MEASURED, read, strict=True)) | {"lr": lr}
    metrics["epoch_seconds"] = training.seconds + time.monotonic() - training.since
    training.records, training.seconds = [], 0.0
    return metrics


@torch.no_grad()
def evaluate(training: Training, rows: Split, chunk: int = 8192) -> Tensor:
    """Return mean loss and accuracy over a split without dropout, [2]."""
    training.model.eval()
    total = torch.zeros(2, device=training.device)
    everything = torch.arange(len(rows))
    for x, y in rows.batches(everything, chunk, training.device):
        with autocast(training.precision, training.device):
            predicted = training.model(x, keep)
        predicted = predicted.float()
        right = training.task.accuracy(predicted, y).sum()
        total += torch.stack((training.task.loss(predicted, y).sum(), right))
    return total / len(rows)
