from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from tuner.train import optim
from tuner.train.precision import LossScale
from tuner.train.recipe import OPTIMIZERS, Recipe

RATES = (0.1, 0.1, 0.05, 0.05, 0.0125)

Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def _recipe(**params: Any) -> Recipe:
    defaults = {"lr": 0.1, "batch_size": 1, "init_scale": 1.0, "dropout": 0.0, "clip_norm": 1.0}
    return Recipe.from_params(params, defaults)


@pytest.mark.parametrize(
    ("recipe", "make"),
    [
        (_recipe(optimizer="sgd"), torch.optim.SGD),
        (
            _recipe(optimizer="sgd", weight_decay=0.1),
            lambda p: torch.optim.SGD(p, weight_decay=0.1),
        ),
        (_recipe(optimizer="momentum"), lambda p: torch.optim.SGD(p, momentum=0.9)),
        (
            _recipe(optimizer="momentum", momentum=0.7, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, momentum=0.7, weight_decay=0.1),
        ),
        (
            _recipe(optimizer="nesterov", weight_decay=0.1),
            lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True, weight_decay=0.1),
        ),
        (
            _recipe(optimizer="adagrad", weight_decay=0.1),
            lambda p: torch.optim.Adagrad(p, weight_decay=0.1),
        ),
        (_recipe(optimizer="adadelta"), torch.optim.Adadelta),
        (
            _recipe(optimizer="adadelta", beta2=0.7, eps=1e-4, weight_decay=0.1),
            lambda p: torch.optim.Adadelta(p, rho=0.7, eps=1e-4, weight_decay=0.1),
        ),
        (_recipe(optimizer="rmsprop"), torch.optim.RMSprop),
        (
            _recipe(optimizer="rmsprop", momentum=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1),
            lambda p: torch.optim.RMSprop(p, momentum=0.8, alpha=0.9, eps=1e-3, weight_decay=0.1),
        ),
        (_recipe(optimizer="sgd", l2=0.1), lambda p: torch.optim.SGD(p, weight_decay=0.1)),
        (_recipe(optimizer="adamw", l2=0.1), lambda p: torch.optim.Adam(p, weight_decay=0.1)),
        (_recipe(optimizer="adam"), torch.optim.Adam),
        (
            _recipe(optimizer="adam", weight_decay=0.1, momentum=0.8, beta2=0.99, eps=1e-3),
            lambda p: torch.optim.Adam(p, weight_decay=0.1, betas=(0.8, 0.99), eps=1e-3),
        ),
        (_recipe(optimizer="adamw"), lambda p: torch.optim.AdamW(p, weight_decay=0.0)),
        (
            _recipe(optimizer="adamw", weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, weight_decay=0.1),
        ),
    ],
)
def test_each_rule_moves_the_weights_as_torch_does(recipe: Recipe, make: Make) -> None:
    draw = torch.Generator().manual_seed(0)
    ours = torch.randn(50, generator=draw, dtype=torch.float64)
    theirs = nn.Parameter(ours.clone())
    optimizer, state = make([theirs]), optim.start(recipe, ours)
    for lr in RATES:
        gradient = torch.randn(50, generator=draw, dtype=torch.float64)
        optimizer.param_groups[0]["lr"] = lr
        theirs.grad = gradient.clone()
        optimizer.step()
        ours += optim.change(recipe, state, ours, gradient, lr)
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_l1_pulls_each_weight_by_the_same_amount() -> None:
    recipe = _recipe(optimizer="sgd", l1=0.25)
    weights = torch.tensor([3.0, -0.5, 0.0])
    moved = optim.change(recipe, {}, weights, torch.zeros(3), 0.1)
    assert moved.tolist() == pytest.approx([-0.025, 0.025, 0.0])


def test_the_gradient_is_left_as_it_was() -> None:
    weights, gradient = torch.ones(3), torch.full((3,), 2.0)
    for optimizer in OPTIMIZERS:
        recipe = _recipe(optimizer=optimizer, weight_decay=0.1, l1=0.1, l2=0.1)
        optim.change(recipe, optim.start(recipe, weights), weights, gradient, 0.1)
        assert gradient.tolist() == [2.0, 2.0, 2.0]
        assert weights.tolist() == [1.0, 1.0, 1.0]


def test_the_loss_scale_moves_as_torchs() -> None:
    device = torch.device("cpu")
    theirs = torch.amp.GradScaler("cpu", growth_interval=3)
    ours = LossScale(device, interval=3)
    weight = nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for finite in (1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0):
        weight.grad = None
        theirs.scale(weight * (1.0 if finite else torch.inf)).backward()  # type: ignore[no-untyped-call]
        theirs.step(optimizer)
        theirs.update()
        ours.adjust(torch.tensor(bool(finite)))
        assert ours.scale.item() == theirs.get_scale()
