from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch.optim import Optimizer, lr_scheduler

from tuner.spec.recipe_values import ScheduleName
from tuner.train.recipe import Recipe
from tuner.train.schedules import COURSES, factor

STEPS = 12


def _recipe(**more: Any) -> Recipe:
    return Recipe(lr=0.1, batch_size=1, init_scale=1.0, dropout=0.0, clip_norm=1.0, **more)


@pytest.mark.parametrize(
    ("recipe", "theirs"),
    [
        (_recipe(), lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        (
            _recipe(schedule="linear", lr_floor=0.1),
            lambda o: lr_scheduler.LinearLR(o, 1.0, end_factor=0.1, total_iters=STEPS),
        ),
        (_recipe(schedule="exponential"), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        (
            _recipe(schedule="exponential", gamma=0.5),
            lambda o: lr_scheduler.ExponentialLR(o, 0.5),
        ),
        (
            _recipe(schedule="milestones"),
            lambda o: lr_scheduler.MultiStepLR(o, [STEPS // 2, STEPS * 3 // 4]),
        ),
        (
            _recipe(schedule="milestones", milestones="0.25, 0.5", gamma=0.3),
            lambda o: lr_scheduler.MultiStepLR(o, [STEPS // 4, STEPS // 2], 0.3),
        ),
        (
            _recipe(schedule="cosine", lr_floor=0.01),
            lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.01),
        ),
        (
            _recipe(schedule="cyclic"),  # a third of the training a cycle
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, STEPS // 3),
        ),
        (
            _recipe(schedule="cyclic", cycle=2, cycle_growth=2, lr_floor=0.1),
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.1),
        ),
    ],
    ids=lambda x: x.schedule if isinstance(x, Recipe) else "",
)
def test_each_course_is_torchs(
    recipe: Recipe, theirs: Callable[[Optimizer], lr_scheduler.LRScheduler]
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = theirs(optimizer)
    for epoch in range(STEPS):
        assert factor(recipe, epoch, STEPS) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()


def test_every_name_has_its_course() -> None:
    assert set(COURSES) == set(get_args(ScheduleName))


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (0.0, 0.01),  # not 0, or the first batch would be wasted
        (1.0, 0.505),
        (2.0, 1.0),
        (5.0, 1.0),
    ],
)
def test_warm_up_rises_to_the_rate(time: float, expected: float) -> None:
    assert factor(_recipe(warmup=2.0), time, STEPS) == pytest.approx(expected)


def test_warm_up_multiplies_the_course() -> None:
    both = _recipe(warmup=2.0, schedule="linear")
    assert factor(both, 1.0, STEPS) == pytest.approx(0.505 * 11 / 12)
