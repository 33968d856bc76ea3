from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.spec.recipe_values import LossName
from tuner.train.losses import LOSSES, flooded, row_loss, taught
from tuner.train.recipe import Recipe
from tuner.train.tasks import cross_entropy, squared_error

DRAW = torch.Generator().manual_seed(0)
LOGITS, LABELS = torch.randn(5, 4, generator=DRAW), torch.tensor([0, 1, 2, 3, 0])


def _recipe(**more: Any) -> Recipe:
    return Recipe(lr=0.1, batch_size=1, init_scale=1.0, dropout=0.0, clip_norm=1.0, **more)


def _loss(**more: Any) -> torch.Tensor:
    return row_loss(_recipe(**more), cross_entropy, classes=True)(LOGITS, LABELS)


def test_every_name_has_its_loss() -> None:
    assert set(LOSSES) == set(get_args(LossName))


def test_the_tasks_own_loss_stands_if_nothing_is_said() -> None:
    assert row_loss(_recipe(), squared_error, classes=False) is squared_error


def test_smoothing_spreads_a_share_of_the_label() -> None:
    spread = 0.9 * F.one_hot(LABELS, 4) + 0.1 / 4
    expected = -(spread * LOGITS.log_softmax(1)).sum(1)
    torch.testing.assert_close(_loss(label_smoothing=0.1), expected)


def test_focal_is_cross_entropy_times_a_power_of_the_error() -> None:
    right = LOGITS.softmax(1)[torch.arange(5), LABELS]
    torch.testing.assert_close(
        _loss(loss="focal", focal_gamma=2.0), (1 - right) ** 2 * -right.log()
    )
    torch.testing.assert_close(_loss(loss="focal", focal_gamma=0.0), _loss())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("squared", [4.0, 0.25]), ("absolute", [2.0, 0.5]), ("huber", [1.5, 0.125])],
)
def test_losses_of_numbers(name: str, expected: list[float]) -> None:
    loss = row_loss(_recipe(loss=name), squared_error, classes=False)
    assert loss(torch.tensor([2.0, 0.5]), torch.zeros(2)).tolist() == expected


@pytest.mark.parametrize(
    ("mean", "level", "value", "slope"),
    [
        (0.5, 0.2, 0.5, 1.0),
        (0.1, 0.2, 0.3, -1.0),  # below the flood the gradient goes up
        (0.1, 0.0, 0.1, 1.0),
    ],
)
def test_flooding(mean: float, level: float, value: float, slope: float) -> None:
    loss = torch.tensor(mean, requires_grad=True)
    flooded(loss, level).backward()  # type: ignore[no-untyped-call]
    assert flooded(loss, level).item() == pytest.approx(value)
    assert loss.grad == slope


def test_a_pupil_that_says_what_its_teacher_says_has_nothing_to_learn() -> None:
    teacher = (LOGITS / 3).log_softmax(1)
    found = taught(LOGITS, teacher, 3.0, classes=True)
    torch.testing.assert_close(found, torch.zeros(5), atol=1e-6, rtol=0)
    other = taught(LOGITS.flip(1), teacher, 3.0, classes=True)
    own = (LOGITS.flip(1) / 3).log_softmax(1)
    torch.testing.assert_close(other, 9 * (teacher.exp() * (teacher - own)).sum(1))


def test_a_teacher_of_numbers() -> None:
    found = taught(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0]), 2.0, classes=False)
    assert found.tolist() == [4.0, 0.0]
