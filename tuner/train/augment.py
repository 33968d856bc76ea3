"""Augmentation of a batch: random changes of the inputs that leave the target as it is.

All of a batch's draws come from one generator that is seeded anew for each batch, on the batch's
device, and each row gets its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train.recipe import Recipe
from tuner.train.streams import derive

GEOMETRIC = ("flip", "crop", "shift", "rotate")
VALUES = ("brightness", "contrast", "noise", "mix_noise")


class Augment:
    """Change the inputs of a batch as a recipe says; `at` moves to a batch, as with `Dropout`."""

    def __init__(self, recipe: Recipe, seed: int, device: torch.device) -> None:
        self._recipe = recipe
        self._seed = seed
        self._generator = torch.Generator(device)
        self.on = any(getattr(recipe, name) > 0 for name in GEOMETRIC + VALUES)
        self._moves = any(getattr(recipe, name) > 0 for name in GEOMETRIC)

    def at(self, *path: int | str) -> None:
        """Place the stream at the start of a batch."""
        if self.on:
            self._generator.manual_seed(derive(self._seed, "augment", *path))

    def __call__(self, x: Tensor) -> Tensor:
        """Return changed inputs of the same shape."""
        if not self.on:
            return x
        if self._moves:
            x = moved(x, self._draw_move(x))
        return self._with_values(x)

    def _draw_move(self, x: Tensor) -> Move:
        recipe, rows = self._recipe, x.shape[0]
        return Move(
            flip=self._uniform(rows, x) < recipe.flip,
            kept=1 - recipe.crop * self._uniform(rows, x),
            at_x=self._around(rows, x, 1.0),
            at_y=self._around(rows, x, 1.0),
            right=self._around(rows, x, recipe.shift),
            down=self._around(rows, x, recipe.shift),
            turn=self._around(rows, x, math.radians(recipe.rotate)),
        )

    def _with_values(self, x: Tensor) -> Tensor:
        recipe, rows = self._recipe, x.shape[0]
        each = (rows, *[1] * (x.ndim - 1))
        if recipe.contrast > 0:
            channels = self._around(rows * x.shape[1], x, recipe.contrast)
            x = x * (1 + channels.view(rows, x.shape[1], *[1] * (x.ndim - 2)))
        if recipe.brightness > 0:
            x = x + self._around(rows, x, recipe.brightness).view(each)
        if recipe.mix_noise > 0:
            share = (self._uniform(rows, x) * recipe.mix_noise).view(each)
            loud = x.std(dim=1, keepdim=True, correction=0)  # of each feature, over its sequence
            x = (1 - share) * x + share * loud * self._normal(x)
        return x + recipe.noise * self._normal(x) if recipe.noise > 0 else x

    def _uniform(self, count: int, x: Tensor) -> Tensor:
        return torch.rand(count, generator=self._generator, device=x.device, dtype=x.dtype)

    def _around(self, count: int, x: Tensor, size: float) -> Tensor:
        return (2 * self._uniform(count, x) - 1) * size

    def _normal(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=self._generator, device=x.device, dtype=x.dtype)


@dataclass(frozen=True, kw_only=True)
class Move:
    """How each image is moved, all [rows].

    Args:
        flip: whether it is mirrored.
        kept: share of its sides that stays; the cut-out is enlarged to the image's size.
        at_x, at_y: where the cut-out lies, from -1, left and top, to 1.
        right, down: pixels it is shifted by; what comes in is 0.
        turn: radians it is turned by, against the clock.
    """

    flip: Tensor
    kept: Tensor
    at_x: Tensor
    at_y: Tensor
    right: Tensor
    down: Tensor
    turn: Tensor


def moved(x: Tensor, move: Move) -> Tensor:
    """Return images [rows, channels, height, width] mirrored, cut, turned and shifted, in one go.

    Each output pixel is looked up where one affine map says, between four pixels.
    """
    height, width = x.shape[2:]
    cos, sin = move.turn.cos() * move.kept, move.turn.sin() * move.kept
    mirror = torch.where(move.flip, -1.0, 1.0)
    # In units of half an image; a pixel that comes from the left was shifted to the right.
    to_x = move.at_x * (1 - move.kept) - move.right * 2 / width
    to_y = move.at_y * (1 - move.kept) - move.down * 2 / height
    aspect = height / width
    first = torch.stack((mirror * cos, -mirror * sin * aspect, mirror * to_x), dim=1)
    second = torch.stack((sin / aspect, cos, to_y), dim=1)
    theta = torch.stack((first, second), dim=1)  # [rows, 2, 3]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)
