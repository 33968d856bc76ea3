"""How a network's weights change: gradient in, clip, update rule, projection; and their state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from tuner.train import optim
from tuner.train.precision import LossScale
from tuner.train.recipe import Recipe
from tuner.train.weights import Flat, clip


class Watched(Protocol):
    """What is told of a step, where it is `due`: vectors of all trained weights."""

    due: bool

    def gradient(self, vector: Tensor) -> None:
        """Take the gradient, [weights], before its norm is clipped."""

    def change(self, delta: Tensor, weights: Tensor) -> None:
        """Take the change, and the weights before it, [weights] each."""


@dataclass(kw_only=True)
class Updater:
    """Change the trained weights of one network; a training of two networks has two of these."""

    recipe: Recipe
    weights: Flat
    optimizer: optim.State
    scale: LossScale | None
    layers: Watched | None = None

    @classmethod
    def start(cls, model: nn.Module, recipe: Recipe, precision: str = "fp32") -> Self:
        """Take a network over; it is on its device already and must stay there."""
        weights = Flat(model)
        return cls(
            recipe=recipe,
            weights=weights,
            optimizer=optim.start(recipe, weights.value),
            scale=LossScale(weights.value.device) if precision == "fp16" else None,
        )

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a mean loss, [], to `weights.gradient`."""
        (loss if self.scale is None else loss * self.scale.scale).backward()  # type: ignore[no-untyped-call]

    def step(self, lr: float) -> Tensor:
        """Change the weights by the gradient gathered; return its norm and the update ratio, [2].

        The norm is that before the clip, the ratio that of the change's norm to the weights'.
        """
        recipe, weights, scale = self.recipe, self.weights, self.scale
        if scale is not None:
            weights.gradient.div_(scale.scale)
        if recipe.clip_value is not None:
            weights.gradient.clamp_(-recipe.clip_value, recipe.clip_value)
        if self.layers is not None:
            self.layers.gradient(weights.gradient)
        norm = clip(weights.gradient, recipe.clip_norm)
        if scale is None:
            delta = optim.change(recipe, self.optimizer, weights.value, weights.gradient, lr)
        else:
            delta = self._change_if_finite(scale, norm, lr)
        ratio = torch.linalg.vector_norm(delta) / torch.linalg.vector_norm(weights.value)
        if self.layers is not None:
            self.layers.change(delta, weights.value)
        weights.value.add_(delta)
        if recipe.max_norm is not None:
            weights.limit_rows(recipe.max_norm)
        weights.gradient.zero_()
        return torch.stack((norm, ratio))

    def _change_if_finite(self, scale: LossScale, norm: Tensor, lr: float) -> Tensor:
        finite = norm.isfinite()
        before = {name: tensor.clone() for name, tensor in self.optimizer.items()}
        delta = optim.change(
            self.recipe, self.optimizer, self.weights.value, self.weights.gradient, lr
        )
        for name, tensor in self.optimizer.items():
            tensor.copy_(torch.where(finite, tensor, before[name]))
        scale.adjust(finite)
        return torch.where(finite, delta, 0.0)

    def tree(self) -> dict[str, Any]:
        """Return the state beside the weights: `optimizer`, and `scale` in float16."""
        tree: dict[str, Any] = {"optimizer": self.optimizer}
        if self.scale is not None:
            tree["scale"] = {"scale": self.scale.scale, "good": self.scale.good}
        return tree

    def take(self, tree: Mapping[str, Any]) -> None:
        """Take the state back.

        Raises:
            ValueError: it does not fit.
        """
        fill(self.optimizer, tree.get("optimizer", {}))
        if self.scale is not None and "scale" in tree:
            fill({"scale": self.scale.scale, "good": self.scale.good}, tree["scale"])


def fill(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    """Copy tensors into those of the same names.

    Raises:
        ValueError: other names or shapes.
    """
    if target.keys() != source.keys():
        raise ValueError(f"{sorted(source)} instead of {sorted(target)}")
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:
            raise ValueError(f"{name} has the shape {list(source[name].shape)}")
        tensor.copy_(source[name])
