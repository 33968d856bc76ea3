"""What becomes of the inputs before training. All statistics are those of the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from tuner.train.data import Data, Split
from tuner.train.recipe import Recipe

_SPAN = 100.0  # from this ratio of the largest to the middle value a dimension spans magnitudes


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is done to inputs: `log1p` of the dimensions in `wide`, then mean 0 and variance 1.

    Args:
        wide, mean, scale: as the inputs, but for the rows; None for what is not wanted.
    """

    wide: Tensor | None = None
    mean: Tensor | None = None
    scale: Tensor | None = None

    @classmethod
    def fit(cls, x: Tensor, recipe: Recipe) -> Self:
        """Return what a recipe wants, by the training rows `x`, [rows, ...]."""
        found = cls(wide=_spans(x) if recipe.log1p else None)
        if not recipe.standardise:
            return found
        x, axes = found.apply(x), _axes(x)
        std = x.std(axes, keepdim=True, correction=0)
        return replace(found, mean=x.mean(axes, keepdim=True), scale=torch.where(std > 0, std, 1.0))

    def apply(self, x: Tensor) -> Tensor:
        """Return changed inputs, [rows, ...]; the same object if nothing is wanted."""
        if self.wide is not None:
            x = torch.where(self.wide, x.sign() * x.abs().log1p(), x)
        if self.mean is not None and self.scale is not None:
            x = (x - self.mean) / self.scale
        return x

    def tree(self) -> dict[str, Any]:
        """Return what is wanted as a checkpoint holds it, empty if nothing is."""
        return {name: part for name, part in vars(self).items() if part is not None}


def prepared(data: Data, inputs: Inputs) -> Data:
    """Return the data with its inputs changed; the same object if nothing is wanted."""
    return _mapped(data, inputs.apply) if inputs.tree() else data


def _axes(x: Tensor) -> tuple[int, ...]:
    """Return what is averaged over: the rows, in sequences [rows, T, features] the time, too."""
    return (0, 1) if x.ndim == 3 else (0,)


def _spans(x: Tensor) -> Tensor:
    """Tell which dimensions span magnitudes: their largest size is 100 times the middle one."""
    size = x.abs().movedim(-1, 0).flatten(1) if x.ndim == 3 else x.abs().flatten(1).T
    middle = torch.where(size > 0, size, torch.nan).nanmedian(dim=1).values
    wide = size.amax(dim=1) >= _SPAN * middle  # a dimension of zeros alone compares with NaN: False
    return wide if x.ndim == 3 else wide.view(x.shape[1:])


def _mapped(data: Data, change: Callable[[Tensor], Tensor]) -> Data:
    def of(split: Split) -> Split:
        return replace(split, x=change(split.x))

    others = None if data.unlabelled is None else change(data.unlabelled)
    return Data(train=of(data.train), val=of(data.val), test=of(data.test), unlabelled=others)
