"""Many trainings of one small network at once, as a stacked model on a CPU core.

Inside, from the outside in: `train`, the loop over epochs, which asks for each slot's level;
`_epoch`, over the batches; the three networks as functions of stacked weights [slots, ...]. Slots
of one seed share initial weights, order of the data and dropout, so that they differ by their rates
alone and two schemes can be compared slot by slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train import data as built_in
from tuner.train.data import Data, Split

MOMENTUM = 0.9
CLIP = 5.0
Weights = list[Tensor]
Forward = Callable[[Weights, Tensor, Tensor | None], Tensor]
Levels = Callable[[int, Tensor, Tensor], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A network, its data, and how it is trained.

    Args:
        shapes: of a slot's weights, in the order `forward` takes them. Vectors start at 0.
        dropout: share of the units of the layer before the last that are set to 0.
        hidden: units of that layer.
        forward: maps stacked weights, inputs [slots, rows, ...] and a mask [slots, rows, hidden] of
            that layer, or None, to predictions [slots, rows, outputs].
        classes: whether targets are classes; else they are numbers.
        rows: rows that an epoch trains on, drawn from all; all of them if None.
    """

    name: str
    data: Callable[[], Data]
    shapes: tuple[tuple[int, ...], ...]
    batch: int
    hidden: int
    dropout: float
    forward: Forward
    classes: bool
    rows: int | None = None

    def start(self, generator: torch.Generator) -> Weights:
        """Draw one slot's weights, each matrix with a standard deviation of 1/sqrt(fan_in)."""
        return [
            torch.randn(s, generator=generator) / math.sqrt(s[0]) if len(s) > 1 else torch.zeros(s)
            for s in self.shapes
        ]

    def losses(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """Return each slot's mean loss over its rows, [slots]."""
        if not self.classes:
            return (predicted.squeeze(-1) - targets).square().mean(1)
        slots, rows, classes = predicted.shape
        flat = F.cross_entropy(
            predicted.reshape(-1, classes), targets.reshape(-1), reduction="none"
        )
        return flat.view(slots, rows).mean(1)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What trainings reported: each [slots, epochs]. `level` was in force while the epoch ran."""

    train: Tensor
    val: Tensor
    test: Tensor
    level: Tensor


def train(
    task: Task, rates: Sequence[float], seeds: Sequence[int], epochs: int, levels: Levels
) -> Curves:
    """Train one slot for each pair of `rates` and `seeds`.

    Args:
        levels: maps the number of finished epochs, and the validation losses and update ratios of
            the last one, both [slots], to each slot's level from then on.
    """
    data = task.data()
    drawn = [task.start(torch.Generator().manual_seed(seed)) for seed in sorted(set(seeds))]
    place = {seed: i for i, seed in enumerate(sorted(set(seeds)))}
    slot_seed = torch.tensor([place[seed] for seed in seeds])
    weights = [
        torch.stack(parts)[slot_seed].clone().requires_grad_() for parts in zip(*drawn, strict=True)
    ]
    average = [torch.zeros_like(w) for w in weights]
    draws = [torch.Generator().manual_seed(10_000 + seed) for seed in place]
    base, level = torch.tensor(rates), torch.ones(len(rates))
    found: list[Tensor] = []
    for epoch in range(1, epochs + 1):
        in_force = level
        lost, ratio = _epoch(task, data.train, weights, average, base * level, slot_seed, draws)
        val, test = _evaluate(task, weights, data.val), _evaluate(task, weights, data.test)
        found.append(torch.stack((lost, val, test, in_force)))
        level = torch.tensor(list(levels(epoch, val, ratio)))
    lost, val, test, level = torch.stack(found, -1).unbind(0)
    return Curves(train=lost, val=val, test=test, level=level)


def _epoch(
    task: Task,
    rows: Split,
    weights: Weights,
    average: Weights,
    rate: Tensor,
    slot_seed: Tensor,
    draws: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor]:
    """Train on each row of an epoch once, an incomplete last batch aside.

    Returns:
        Mean training loss and mean update ratio of each slot, [slots].
    """
    orders = torch.stack([torch.randperm(len(rows), generator=g) for g in draws])
    batches = (task.rows or len(rows)) // task.batch
    lost, ratio = torch.zeros(len(slot_seed)), torch.zeros(len(slot_seed))
    for order in torch.split(orders[:, : batches * task.batch], task.batch, 1):
        x, y = rows.x[order], rows.y[order]
        mask = None
        if task.dropout > 0:
            shape = (task.batch, task.hidden)
            kept = torch.stack([torch.rand(shape, generator=g) for g in draws]) >= task.dropout
            mask = (kept / (1 - task.dropout))[slot_seed]
        losses = task.losses(task.forward(weights, x[slot_seed], mask), y[slot_seed])
        gradients = torch.autograd.grad(losses.sum(), weights)
        lost += losses.detach()
        ratio += _step(weights, average, gradients, rate)
    return lost / batches, ratio / batches


@torch.no_grad()
def _step(weights: Weights, average: Weights, gradients: Sequence[Tensor], rate: Tensor) -> Tensor:
    """Update all slots by momentum, each gradient clipped by its norm; return the update ratios."""
    scale = (CLIP / _norms(gradients).clamp(min=1e-12)).clamp(max=1.0)
    for mean, gradient in zip(average, gradients, strict=True):
        mean.mul_(MOMENTUM).add_(gradient * _along(scale, gradient))
    ratio = rate * _norms(average) / _norms(weights)
    for weight, mean in zip(weights, average, strict=True):
        weight.sub_(mean * _along(rate, mean))
    return ratio


def _norms(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([p.flatten(1).square().sum(1) for p in parts]).sum(0).sqrt()


def _along(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1 for _ in like.shape[1:]))


@torch.no_grad()
def _evaluate(task: Task, weights: Weights, rows: Split) -> Tensor:
    slots = weights[0].shape[0]
    x = rows.x.expand(slots, *rows.x.shape)
    return task.losses(task.forward(weights, x, None), rows.y.expand(slots, -1))


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x, weight)


def _mlp(weights: Weights, x: Tensor, mask: Tensor | None) -> Tensor:
    hidden = F.relu(_linear(x, *weights[:2]))
    return _linear(hidden if mask is None else hidden * mask, *weights[2:])


def _deep(weights: Weights, x: Tensor, mask: Tensor | None) -> Tensor:
    for i in range(0, len(weights) - 2, 2):
        x = torch.tanh(_linear(x, *weights[i : i + 2]))
    return _linear(x if mask is None else x * mask, *weights[-2:])


def _lstm(weights: Weights, x: Tensor, mask: Tensor | None) -> Tensor:
    gates, bias, out, last = weights
    units = out.shape[1]
    forget = torch.zeros(4 * units)
    forget[units : 2 * units] = 1.0  # an open forget gate: Jozefowicz et al. 2015
    hidden = cell = x.new_zeros(x.shape[0], x.shape[1], units)
    for moment in x.unbind(2):
        entering = torch.cat((moment, hidden), 2)
        i, f, g, o = _linear(entering, gates, bias + forget).chunk(4, 2)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
    return _linear(hidden if mask is None else hidden * mask, out, last)


@cache
def teacher() -> Data:
    """Return what a random network says of 20 normal numbers, 3 classes: 30,000/1,000/3,000 rows.

    A tenth of all labels is drawn anew, so that no loss goes to 0 and a rate that stays high keeps
    the weights moving.
    """
    draw = np.random.RandomState(3)
    x = draw.randn(34_000, 20)
    hidden = np.tanh(x @ draw.randn(20, 16) / 2)
    y = (hidden @ draw.randn(16, 3)).argmax(1)
    y = np.where(draw.rand(len(y)) < 0.1, draw.randint(0, 3, len(y)), y)
    inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    cuts = (slice(0, 30_000), slice(30_000, 31_000), slice(31_000, 34_000))
    first, second, third = (Split(x=inputs[c], y=labels[c]) for c in cuts)
    return Data(train=first, val=second, test=third)


def _adding() -> Data:
    return built_in.adding((1000, 300, 300), steps=10)


TASKS = (
    Task(
        name="digits-mlp",
        data=built_in.digits,
        shapes=((64, 64), (64,), (64, 10), (10,)),
        batch=64,
        hidden=64,
        dropout=0.2,
        forward=_mlp,
        classes=True,
    ),
    Task(
        name="teacher-deep",
        data=teacher,
        shapes=((20, 32), (32,), *(((32, 32), (32,)) * 3), (32, 3), (3,)),
        batch=16,
        hidden=32,
        dropout=0.0,
        forward=_deep,
        classes=True,
        rows=960,
    ),
    Task(
        name="adding-lstm",
        data=_adding,
        shapes=((18, 64), (64,), (16, 1), (1,)),
        batch=50,
        hidden=16,
        dropout=0.0,
        forward=_lstm,
        classes=False,
    ),
)
