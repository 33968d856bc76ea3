"""Train one trial.

Inside, from the outside in: `train`, the loop over epochs with reports and checkpoints;
`run_epoch`, over its batches; `step`, one batch; `measure` and `evaluate`, what an epoch reports.
In a step nothing is read back from the device and no branch looks at a tensor: what it measures
stays there as a vector, and the end of the epoch reads all of them at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tuner.handle import TrialHandle
from tuner.train import device as devices
from tuner.train import optim, streams
from tuner.train.data import Data, Split
from tuner.train.models import keep
from tuner.train.precision import LossScale, autocast
from tuner.train.recipe import Options, Recipe
from tuner.train.saver import Saver
from tuner.train.tasks import Task
from tuner.train.training import Training
from tuner.train.weights import clip

MEASURED = (
    "train_loss",
    "grad_norm",
    "update_ratio",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
)


def train(
    trial: TrialHandle,
    task: Task,
    recipe: Recipe,
    options: Options,
    *,
    metric: str,
    folder: Path | None,
) -> None:
    """Train until the steps are done, the decision is to stop, or the trial is asked to leave.

    Raises:
        InvalidInput: the device is not there, or the checkpoint is not of this training.
    """
    device = devices.choose(options.device)
    with devices.arithmetic(device, deterministic=options.deterministic):
        training = Training.start(task, recipe, trial.seed, device, options.precision)
        if trial.resume is not None:
            training.restore(trial.resume)
        data = task.data().resident(device)
        meter = devices.GpuMeter(device)
        saver = Saver(training, trial, options.checkpoint_every, folder)
        steps = task.info.steps if trial.steps is None else trial.steps
        lr = recipe.lr * trial.lr_factor
        while training.epoch < steps:
            if not run_epoch(training, data.train, lr, lambda: trial.should_stop):
                saver.hand_over()
                return
            metrics = measure(training, data, lr) | meter.read()
            decision = trial.report(training.epoch, objective(metrics, metric), metrics)
            lr = recipe.lr * decision.lr_factor
            if decision.stop:
                return
            if trial.should_stop:
                saver.hand_over()
                return
            saver.hand_over_if_due()


def objective(metrics: Mapping[str, float], name: str) -> float:
    """Return the reported value: the metric, or NaN if a loss is not finite.

    An accuracy is a number also where all weights are NaN; such a training has diverged.
    """
    losses = (metrics["train_loss"], metrics["val_loss"])
    return metrics[name] if all(map(math.isfinite, losses)) else math.nan


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
    recipe, weights, scale = training.recipe, training.weights, training.scale
    weights.gradient.zero_()
    with autocast(training.precision, training.device):
        predicted = training.model(x, training.dropout)
    losses = training.task.loss(predicted.float(), y)  # [rows]
    mean = losses.mean()
    (mean if scale is None else mean * scale.scale).backward()  # type: ignore[no-untyped-call]
    if scale is not None:
        weights.gradient.div_(scale.scale)
    norm = clip(weights.gradient, recipe.clip_norm)
    if scale is None:
        delta = optim.change(recipe, training.optimizer, weights.value, weights.gradient, lr)
    else:
        delta = _change_if_finite(training, scale, norm, lr)
    ratio = torch.linalg.vector_norm(delta) / torch.linalg.vector_norm(weights.value)
    weights.value.add_(delta)
    return torch.stack((losses.detach().sum(), norm, ratio))


def _change_if_finite(training: Training, scale: LossScale, norm: Tensor, lr: float) -> Tensor:
    finite = norm.isfinite()
    optimizer, weights = training.optimizer, training.weights
    before = {name: tensor.clone() for name, tensor in optimizer.items()}
    delta = optim.change(training.recipe, optimizer, weights.value, weights.gradient, lr)
    for name, tensor in optimizer.items():
        tensor.copy_(torch.where(finite, tensor, before[name]))
    scale.adjust(finite)
    return torch.where(finite, delta, 0.0)


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
