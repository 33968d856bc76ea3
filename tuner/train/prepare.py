"""What becomes of the inputs before training. All statistics are those of the training rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tuner.train.data import Data, Split
from tuner.train.recipe import Recipe

_SPAN = 100.0  # from this ratio of the largest to the middle value a dimension spans magnitudes


def prepared(data: Data, recipe: Recipe) -> Data:
    """Return the data as a recipe wants it; the same object if it wants nothing."""
    if recipe.log1p:
        wide = _spans(data.train.x)
        data = _mapped(data, lambda x: torch.where(wide, x.sign() * x.abs().log1p(), x))
    if recipe.standardise:
        axes = _axes(data.train.x)
        mean = data.train.x.mean(axes, keepdim=True)
        std = data.train.x.std(axes, keepdim=True, correction=0)
        scale = torch.where(std > 0, std, 1.0)
        data = _mapped(data, lambda x: (x - mean) / scale)
    return data


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
