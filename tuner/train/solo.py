"""Train one network on rows with targets.

Inside, from the outside in: `Solo`, what the loop over epochs holds; `run_epoch`, over an epoch's
batches; `step`, one batch; `measure` and `evaluate`, what an epoch reports.
In a step nothing is read back from the device and no branch looks at a tensor: what it measures
stays there as a vector, and the end of the epoch reads all of them at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from tuner.handle import Resume
from tuner.train import schedules, state, streams, tasks
from tuner.train.adversary import train_on_both
from tuner.train.data import Data, Split
from tuner.train.engine import Leave, Setting
from tuner.train.health import Health
from tuner.train.losses import flooded, taught
from tuner.train.models import Staged, keep
from tuner.train.precision import autocast
from tuner.train.prepare import Inputs, prepared
from tuner.train.pretrain import pretrain
from tuner.train.pseudo import Unlabelled, split_labels, sure_labels
from tuner.train.reuse import cached, training_mode
from tuner.train.tasks import Task
from tuner.train.training import RECORDED, Training

MEASURED = ("train_loss", "grad_norm", "update_ratio")


class Solo:
    """The engine of a supervised task: one network, rows with targets, a loss a row."""

    def __init__(self, setting: Setting, data: Data | None = None) -> None:
        task, recipe = setting.task or tasks.get(setting.info.name), setting.recipe
        self._training = Training.start(
            task, recipe, setting.seed, setting.device, setting.precision,
            steps=setting.steps, sources=setting.sources, resumed=setting.resumed,
        )  # fmt: skip
        whole = task.data() if data is None else data
        self._inputs = Inputs.fit(whole.train.x, recipe)
        data, others = split_labels(prepared(whole, self._inputs), recipe.labelled)
        self._data = data.resident(setting.device)
        if recipe.pseudo_labels is not None:
            self._training.unlabelled = Unlabelled.of(others, self._data.train.x, setting.seed)
        self._lr = 0.0
        self._resumed = setting.resumed
        self._measures_layers = setting.measure_layers
        self._cached = False
        self._health: Health | None = None

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return self._training.epoch

    def run_epoch(self, level: float, leave: Leave) -> bool:
        """Train on each row once: see `Engine.run_epoch`."""
        self._lr = self._training.recipe.lr * level
        if not self._begin(leave):
            return False
        return run_epoch(self._training, self._data.train, self._lr, leave)

    @property
    def data(self) -> Data:
        """The rows as the network sees them."""
        return self._data

    @property
    def model(self) -> Staged:
        """The network."""
        return self._training.model

    @property
    def first_stage(self) -> int:
        """The stage that takes `data`'s rows: later ones than the first where those are cached."""
        return self._training.first

    @torch.no_grad()
    def predict(self, x: Tensor, chunk: int = 8192) -> Tensor:
        """Return the predictions of rows of `data`, as `evaluate` sees them, [rows, ...]."""
        training = self._training
        training.model.eval()
        with nullcontext() if training.average is None else training.average.applied():
            parts = [
                _predict(training, part.to(training.device), number)
                for number, part in enumerate(torch.split(x, chunk))
            ]
        return torch.cat(parts)

    def _begin(self, leave: Leave) -> bool:
        """Do what comes before the first batch; return False if `leave` said so before its end."""
        training, recipe = self._training, self._training.recipe
        begins = not self._resumed and training.epoch == 0 and not training.records
        if recipe.pretrain and begins and not pretrain(training, self._data.train, leave):
            return False
        if recipe.cache_frozen and not self._cached:
            self._data = cached(training.model, self._data, recipe.freeze, training.device)
            self._cached = True
        if self._health is None and self._measures_layers:
            self._health = Health(training, self._data)
        return True

    def measure(self) -> dict[str, float]:
        """Close the epoch: see `Engine.measure`."""
        metrics = measure(self._training, self._data, self._lr)
        return metrics if self._health is None else metrics | self._health.measure(metrics)

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it."""
        inputs = self._inputs.tree()
        return self._training.tree() | ({"inputs": inputs} if inputs else {})

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
    recipe, epoch, done = training.recipe, training.epoch, len(training.records)
    order = streams.order(training.seed, epoch, len(rows))
    batches = rows.batches(order, recipe.batch_size, training.device, first=done)
    training_mode(training.model, recipe.freeze)
    for number, (x, y) in enumerate(batches, start=done):
        if leave():
            return False
        training.dropout.at(epoch, number)
        training.augment.at(epoch, number)
        others = training.unlabelled
        more = None if others is None else others.batch(epoch, number, len(x)).to(training.device)
        rate = lr * _factor(training, number, len(rows))
        if training.updater.layers is not None:
            training.updater.layers.due = (number + 1) * recipe.batch_size >= len(rows)
        training.records.append(step(training, x, y, rate, more))
    training.epoch += 1
    return True


def _factor(training: Training, batch: int, rows: int) -> float:
    batches = math.ceil(rows / training.recipe.batch_size)
    return schedules.factor(training.recipe, training.epoch + batch / batches, training.steps)


def step(
    training: Training, x: Tensor, y: Tensor, lr: float, unlabelled: Tensor | None = None
) -> Tensor:
    """Train on one batch; return its record, [3].

    The gradient is that of the mean loss over the batch's rows.
    """
    recipe, updater = training.recipe, training.updater
    x = training.augment(x)

    def backward(inputs: Tensor, share: float = 0.5) -> Tensor:
        mean, losses = _loss(training, inputs, y)
        updater.backward(mean if share == 1.0 else mean * share)
        return losses

    if recipe.adversary > 0:
        losses = train_on_both(training.model, x, recipe.adversary, backward)
    else:
        losses = backward(x, 1.0)
    if unlabelled is not None:
        updater.backward(_pseudo_loss(training, unlabelled) * recipe.pseudo_weight)
    record = torch.cat((losses.sum()[None], updater.step(lr)))
    if training.average is not None:
        training.average.update()
    return record


def _loss(training: Training, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is minimised, [], and the task's own loss of each row, [rows], detached."""
    recipe, task, minimised = training.recipe, training.task, training.row_loss
    predicted = _forward(training, x, training.first)
    losses = minimised(predicted, y)  # [rows]
    own = losses if minimised is task.loss else task.loss(predicted, y)
    if training.teachers is not None:
        with autocast(training.precision, training.device):
            target = training.teachers(x)
        apart = taught(predicted, target, recipe.temperature, classes=training.classes)
        losses = torch.lerp(losses, apart, recipe.teacher_weight)
    return flooded(losses.mean(), recipe.flooding), own.detach()


def _forward(training: Training, x: Tensor, first: int = 0) -> Tensor:
    """Return predictions in training; held layers drop nothing and need no gradient."""
    model, held = training.model, training.recipe.freeze
    with autocast(training.precision, training.device):
        if held > first:
            with torch.no_grad():
                x = model.between(x, first, held, keep)
            first = held
        predicted: Tensor = model(x, training.dropout, first)
    return predicted.float()


def _pseudo_loss(training: Training, x: Tensor) -> Tensor:
    """Return the loss of rows whose label is a sure prediction, over all rows of the batch, [].

    So few sure rows weigh little (Sohn et al. 2020, equation 4).
    """
    recipe = training.recipe
    assert recipe.pseudo_labels is not None
    training.model.eval()
    with torch.no_grad(), autocast(training.precision, training.device):
        logits = training.model(x, keep)
    training_mode(training.model, recipe.freeze)
    labels, sure = sure_labels(logits.float(), recipe.pseudo_labels)
    losses: Tensor = training.row_loss(_forward(training, training.augment(x)), labels)
    counted: Tensor = losses * sure
    return counted.mean()


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
    batches = len(training.records)
    last = training.epoch - 1 + (batches - 1) / batches
    rate = lr * schedules.factor(training.recipe, last, training.steps)
    metrics = dict(zip(MEASURED, read[:RECORDED], strict=True)) | {"lr": rate}
    half = (len(read) - RECORDED) // 2
    for name, means in (("val", read[RECORDED:-half]), ("test", read[-half:])):
        metrics |= {f"{name}_{what}": value for what, value in _named(training.task, means).items()}
    metrics["epoch_seconds"] = training.seconds + time.monotonic() - training.since
    training.records, training.seconds = [], 0.0
    return metrics


@torch.no_grad()
def evaluate(training: Training, rows: Split, chunk: int = 8192) -> Tensor:
    """Return a split's mean loss, accuracy and the task's further counts, without dropout, [n]."""
    training.model.eval()
    task, total = training.task, torch.zeros((), device=training.device)
    everything = torch.arange(len(rows))
    with nullcontext() if training.average is None else training.average.applied():
        for number, (x, y) in enumerate(rows.batches(everything, chunk, training.device)):
            predicted = _predict(training, x, number)
            sums = [task.loss(predicted, y).sum()[None]]
            if task.accuracy is not None:
                sums.append(task.accuracy(predicted, y).sum()[None])
            if task.scores is not None:
                sums.append(task.scores.count(predicted, y))
            total = total + torch.cat(sums)
    return total / len(rows)


def _named(task: Task, means: list[float]) -> dict[str, float]:
    """Return what `evaluate` found of a split by its names, without the split's."""
    loss, *rest = means
    found = {"loss": loss}
    if task.accuracy is not None:
        found["accuracy"], *rest = rest
    return found if task.scores is None else {**found, **task.scores.read(rest)}


def _predict(training: Training, x: Tensor, chunk: int) -> Tensor:
    """Return predictions, or the mean of those of a chunk's augmented copies and its own."""
    found: list[Tensor] = []
    for copy in range(training.recipe.test_augment + 1):
        training.augment.at("test", chunk, copy)
        seen = x if copy == 0 else training.augment(x)
        with autocast(training.precision, training.device):
            found.append(training.model(seen, keep, training.first).float())
    if len(found) == 1:
        return found[0]
    stacked = torch.stack(found)
    if not training.classes:
        return stacked.mean(0)
    mean: Tensor = stacked.log_softmax(2).logsumexp(0) - math.log(len(found))
    return mean
