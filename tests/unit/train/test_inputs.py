"""What becomes of the inputs: preparation and augmentation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tuner.train import prepare
from tuner.train.augment import Augment, Move, moved
from tuner.train.data import Data, Split
from tuner.train.recipe import Recipe

CPU = torch.device("cpu")
IMAGES = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def _recipe(**more: Any) -> Recipe:
    return Recipe(lr=0.1, batch_size=1, init_scale=1.0, dropout=0.0, clip_norm=1.0, **more)


def _data(train: Tensor, val: Tensor) -> Data:
    one, other = (Split(x=x, y=torch.zeros(len(x))) for x in (train, val))
    return Data(train=one, val=other, test=other)


def _prepared(data: Data, recipe: Recipe) -> Data:
    return prepare.prepared(data, prepare.Inputs.fit(data.train.x, recipe))


def test_nothing_asked_nothing_changed() -> None:
    data = _data(torch.ones(2, 2), torch.ones(1, 2))
    assert _prepared(data, _recipe()) is data


def test_standardising_knows_the_training_rows_alone() -> None:
    train = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    found = _prepared(_data(train, torch.tensor([[4.0, 7.0]])), _recipe(standardise=True))
    assert found.train.x.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert found.val.x.tolist() == [[2.0, 2.0]]  # (4 - 2) / 1; a constant column is centred alone


def test_a_sequences_features_are_standardised_over_time_too() -> None:
    train = torch.randn(50, 20, 2, generator=torch.Generator().manual_seed(0)) * 3 + 1
    found = _prepared(_data(train, train), _recipe(standardise=True)).train.x
    torch.testing.assert_close(found.mean((0, 1)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 1), correction=0), torch.ones(2))


def test_log1p_for_dimensions_that_span_magnitudes_alone() -> None:
    train = torch.tensor([[1.0, 1.0], [10.0, 2.0], [-5000.0, 3.0]])
    found = _prepared(_data(train, torch.tensor([[7.0, 7.0]])), _recipe(log1p=True))
    expected = [math.log(2), math.log(11), -math.log(5001)]
    assert found.train.x[:, 0].tolist() == pytest.approx(expected)
    assert found.train.x[:, 1].tolist() == [1.0, 2.0, 3.0]
    assert found.val.x.tolist() == [[pytest.approx(math.log(8)), 7.0]]


def _move(**change: Any) -> Tensor:
    still = {name: torch.zeros(3) for name in ("at_x", "at_y", "right", "down", "turn")}
    still |= {"flip": torch.zeros(3, dtype=torch.bool), "kept": torch.ones(3)}
    return moved(IMAGES, Move(**(still | {k: torch.full((3,), v) for k, v in change.items()})))


def _down_one(x: Tensor) -> Tensor:
    found = x.roll(1, dims=2)
    found[:, :, 0] = 0
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, IMAGES),
        ({"flip": True}, IMAGES.flip(3)),
        ({"down": 1.0}, _down_one(IMAGES)),
        ({"right": 1.0}, _down_one(IMAGES.transpose(2, 3)).transpose(2, 3)),
        ({"right": 1.0, "flip": True}, _down_one(IMAGES.flip(3).transpose(2, 3)).transpose(2, 3)),
        ({"turn": math.pi / 2}, IMAGES.rot90(1, (2, 3))),
        ({"turn": math.pi}, IMAGES.rot90(2, (2, 3))),
    ],
)
def test_moves(change: dict[str, Any], expected: Tensor) -> None:
    torch.testing.assert_close(_move(**change), expected, atol=1e-5, rtol=1e-4)


def test_half_of_an_image_enlarged() -> None:
    found = _move(kept=0.5, at_x=-1.0, at_y=-1.0)
    part = torch.nn.functional.interpolate(IMAGES[:, :, :4, :4], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found[:, :, 1:7, 1:7], part[:, :, 1:7, 1:7], atol=1e-5, rtol=1e-4)


def _augmented(x: Tensor, *path: int, seed: int = 1, **fields: Any) -> Tensor:
    augment = Augment(_recipe(**fields), seed, CPU)
    augment.at(*path)
    return augment(x)


def test_nothing_asked_returns_the_very_inputs() -> None:
    assert _augmented(IMAGES, 0, 0) is IMAGES


def test_draws_follow_from_seed_and_batch() -> None:
    fields: dict[str, Any] = {"flip": 0.5, "shift": 2.0, "rotate": 20.0, "crop": 0.2, "noise": 0.1}
    first = _augmented(IMAGES, 3, 1, **fields)
    assert torch.equal(first, _augmented(IMAGES, 3, 1, **fields))
    assert not torch.equal(first, _augmented(IMAGES, 3, 2, **fields))
    assert not torch.equal(first, _augmented(IMAGES, 3, 1, seed=2, **fields))


def test_images_are_moved_as_far_as_they_may() -> None:
    many = torch.zeros(4000, 1, 8, 8)
    augment = Augment(_recipe(flip=0.25, crop=0.4, shift=3.0, rotate=90.0), 1, CPU)
    augment.at(0, 0)
    move = augment._draw_move(many)
    assert move.flip.double().mean().item() == pytest.approx(0.25, abs=0.03)
    for drawn, low, high in (
        (move.kept, 0.6, 1.0),
        (move.at_x, -1.0, 1.0),
        (move.at_y, -1.0, 1.0),
        (move.right, -3.0, 3.0),
        (move.down, -3.0, 3.0),
        (move.turn, -math.pi / 2, math.pi / 2),
    ):
        reach = high - low
        assert low <= drawn.min().item() < low + 0.01 * reach
        assert high - 0.01 * reach < drawn.max().item() <= high
        assert drawn.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * reach)
    # each is drawn for itself
    both = torch.stack([move.kept, move.at_x, move.at_y, move.right, move.down, move.turn])
    torch.testing.assert_close(torch.corrcoef(both), torch.eye(6), atol=0.06, rtol=0)
    found = augment(IMAGES)
    assert not torch.equal(found, IMAGES)


def test_values_move_as_far_as_they_may() -> None:
    many = torch.ones(4000, 3, 2, 2)
    added = _augmented(many, 0, 0, brightness=0.5) - many
    assert added.flatten(1).std(1).max() < 1e-6  # one draw an image
    assert (added.min().item(), added.max().item()) == pytest.approx((-0.5, 0.5), abs=0.01)
    scaled = _augmented(many, 0, 0, contrast=0.3)
    assert scaled.amin((2, 3)).equal(scaled.amax((2, 3)))  # one draw a channel
    assert (scaled.min().item(), scaled.max().item()) == pytest.approx((0.7, 1.3), abs=0.01)
    noisy = _augmented(many, 0, 0, noise=0.2) - many
    assert noisy.std().item() == pytest.approx(0.2, rel=0.02)
    assert noisy.mean().item() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("most", "expected"),
    # 1 - s of the signal and s of the noise in quadrature, s uniform up to `most`
    [(1.0, 0.81), (0.2, 0.91)],
)
def test_noise_is_mixed_in_at_a_sequences_own_loudness(most: float, expected: float) -> None:
    x = torch.randn(500, 40, 2, generator=torch.Generator().manual_seed(1))
    x[:, :, 1] *= 100
    found = _augmented(x, 0, 0, mix_noise=most)
    loudness = found.std(1) / x.std(1)
    assert loudness.mean(0).tolist() == pytest.approx([expected, expected], abs=0.02)
