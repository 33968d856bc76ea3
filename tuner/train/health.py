"""What an epoch measures of a network's layers, at a bounded cost, for findings.

Inside: `Layers`, the gradient and the update of each layer at an epoch's last step (so that a
training resumed within the epoch measures the same); `Health`, which adds a sample's activations
and, every few epochs where the gradient is near zero, the curvature.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.torch.curvature import examine
from tuner.torch.watch import LayerProbe, layers_of, metric, norm_of
from tuner.train.data import Data
from tuner.train.models import keep
from tuner.train.precision import autocast
from tuner.train.training import Training

SAMPLE = 128
"""Rows whose activations are measured."""
LEARNED = 256
"""Training rows on which the curvature is measured."""
CURVATURE_EVERY = 5
"""Epochs between looks at the curvature."""
STEEP = 0.3
"""No look is taken where the batches' gradient times the weights is above this part of the loss."""
PRODUCTS = 12
"""Hessian-vector products in such a look."""


class Layers:
    """The gradient norm and update ratio of each layer, at the step when `due`.

    The vectors are those of `tuner.train.weights.Flat`: the trained parameters in order.

    Args:
        within: the model's own name among several, which stands before its layers'.
    """

    def __init__(self, model: nn.Module, within: str = "") -> None:
        self.due = False
        trained = [p for p in model.parameters() if p.requires_grad]
        self._sizes = [p.numel() for p in trained]
        place = {id(p): i for i, p in enumerate(trained)}
        self._groups = {
            f"{within}.{name}" if within else name: [place[id(p)] for p in ps]
            for name, ps in layers_of(model).items()
        }
        self._found: dict[str, Tensor] = {}

    def gradient(self, vector: Tensor) -> None:
        """Take the gradient of the step, [weights], before its norm is clipped."""
        if self.due:
            for name, norm in self._norms(vector).items():
                self._found[metric(name, "grad")] = norm

    def change(self, delta: Tensor, weights: Tensor) -> None:
        """Take the change of the step, and the weights before it, [weights] each."""
        if self.due:
            before = self._norms(weights)
            for name, norm in self._norms(delta).items():
                self._found[metric(name, "update")] = norm / before[name].clamp_min(1e-12)
        self.due = False

    def read(self) -> dict[str, Tensor]:
        """Return what was measured since the last time as metrics, [] each, on the device."""
        found, self._found = self._found, {}
        return found

    def _norms(self, vector: Tensor) -> dict[str, Tensor]:
        parts = torch.split(vector, self._sizes)
        return {name: norm_of([parts[i] for i in group]) for name, group in self._groups.items()}


class Health:
    """What the engine of a supervised task measures beside its task's metrics."""

    def __init__(self, training: Training, data: Data) -> None:
        self._training = training
        self._probe = LayerProbe(training.model)
        self._layers = training.updater.layers = Layers(training.model)
        rows = torch.arange(min(SAMPLE, len(data.val)))
        self._seen, _ = next(data.val.batches(rows, SAMPLE, training.device))
        rows = torch.arange(min(LEARNED, len(data.train)))
        self._learned = next(data.train.batches(rows, LEARNED, training.device))

    def measure(self, told: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of the epoch just finished, beside those that are `told` of it."""
        training = self._training
        found = self._layers.read()
        training.model.eval()
        with torch.no_grad(), autocast(training.precision, training.device), self._probe.on():
            training.model(self._seen, keep, training.first)
        found |= self._probe.read()
        size = torch.linalg.vector_norm(training.weights.value)
        *numbers, weights = torch.stack([*(t.float() for t in found.values()), size]).tolist()
        metrics = dict(zip(found, numbers, strict=True))
        slope = told["grad_norm"] * weights
        if training.epoch % CURVATURE_EVERY or slope > STEEP * abs(told["train_loss"]):
            return metrics
        return metrics | self._curvature()

    def _curvature(self) -> dict[str, float]:
        training = self._training
        x, y = self._learned

        def loss() -> Tensor:
            return training.row_loss(training.model(x, keep, training.first), y).mean()

        try:
            place = examine(loss, training.model.parameters(), steps=PRODUCTS, seed=training.seed)
        except InvalidInput:
            return {}
        return place.metrics()
