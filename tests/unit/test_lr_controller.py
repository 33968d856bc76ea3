"""A trial's level beside every scheduler of torch, against the scheduler alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer, lr_scheduler, swa_utils

from tuner.decision import Decision
from tuner.errors import InvalidInput
from tuner.torch import LRController
from tuner.train.local import LocalTrial

LEVELS = [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.3, 0.3, 0.3, 0.3, 0.03]


class Watched(SGD):
    """An optimizer that notes the rates at which its steps run."""

    seen: list[list[float]]

    def step(self, closure: Any = None) -> Any:
        self.seen.append(rates(self))
        return super().step(closure)


def rates(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def watched(**options: Any) -> Watched:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    groups: list[dict[str, Any]] = [{"params": [first]}, {"params": [second], "lr": 0.02}]
    optimizer = Watched(groups, lr=0.1, momentum=0.9, **options)
    optimizer.seen = []
    for parameter in (first, second):
        parameter.grad = torch.ones(2)
    return optimizer


def sequential(o: Optimizer) -> Any:
    warm, then = lr_scheduler.LinearLR(o, 0.1, 1.0, 3), lr_scheduler.ExponentialLR(o, 0.8)
    return lr_scheduler.SequentialLR(o, [warm, then], milestones=[4])


def chained(o: Optimizer) -> Any:
    parts = [lr_scheduler.ConstantLR(o, 0.2, 3), lr_scheduler.StepLR(o, 2, 0.7)]
    return lr_scheduler.ChainedScheduler(parts, optimizer=o)


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 5, 9], 0.3),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.3, 4),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.25, 1.0, 5),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "SequentialLR": sequential,
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5, eta_min=0.001),
    "ChainedScheduler": chained,
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, min_lr=0.003),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.2, step_size_up=3, mode="exp_range"),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, [0.3, 0.1], total_steps=20),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 8, 2.0),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.005, anneal_epochs=4),
}


def advance(scheduler: Any, epoch: int) -> None:
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step([3.0, 2.0, 2.0, 2.0, 2.0][min(epoch, 4)])
    else:
        scheduler.step()


def run(
    optimizer: Watched, scheduler: Any, trial: LocalTrial | None = None, epochs: range = range(12)
) -> list[list[float]]:
    """Return the rates between steps, as the scheduler left them."""
    left = []
    for epoch in epochs:
        if trial is not None:
            trial.lr_factor = LEVELS[epoch]
        for _ in range(2):
            optimizer.step()
        left.append(rates(optimizer))
        advance(scheduler, epoch)
    return left


def at_levels(alone: list[list[float]]) -> list[list[float]]:
    return [[lr * LEVELS[step // 2] for lr in one] for step, one in enumerate(alone)]


def test_every_scheduler_of_torch_is_tried() -> None:
    known = set(lr_scheduler.__all__) - {"LRScheduler"}
    assert set(SCHEDULERS) == known | {"SWALR"}


@pytest.mark.parametrize("first", ["scheduler", "controller"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_step_runs_at_the_schedulers_rate_times_the_level(name: str, first: str) -> None:
    alone, both = watched(), watched()
    plain = run(alone, SCHEDULERS[name](alone))
    trial = LocalTrial(params={})
    if first == "scheduler":
        scheduler = SCHEDULERS[name](both)
        LRController(both, trial)
    else:
        LRController(both, trial)
        scheduler = SCHEDULERS[name](both)
    assert run(both, scheduler, trial) == plain  # to the last bit
    for seen, expected in zip(both.seen, at_levels(alone.seen), strict=True):
        assert seen == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_resumed_schedule_goes_on_as_it_was(name: str, tmp_path: Path) -> None:
    whole = watched()
    trial = LocalTrial(params={})
    scheduler = SCHEDULERS[name](whole)
    LRController(whole, trial)
    run(whole, scheduler, trial)

    half = watched()
    first = LocalTrial(params={})
    scheduler = SCHEDULERS[name](half)
    LRController(half, first)
    run(half, scheduler, first, range(7))
    first.checkpoint(7, optimizer=half, scheduler=scheduler)

    rest = watched()
    second = LocalTrial(params={}, resume=first.checkpoints[-1], lr_factor=LEVELS[6])
    scheduler = SCHEDULERS[name](rest)
    LRController(rest, second)
    assert second.restore(optimizer=rest, scheduler=scheduler) == 7
    run(rest, scheduler, second, range(7, 12))
    assert half.seen + rest.seen == whole.seen


def test_weights_are_those_of_a_run_at_the_lower_rate() -> None:
    optimizer, other = watched(), watched()
    LRController(optimizer, LocalTrial(params={}, lr_factor=0.5))
    for group in other.param_groups:
        group["lr"] *= 0.5
    for _ in range(3):
        optimizer.step()
        other.step()
    for mine, theirs in zip(optimizer.param_groups, other.param_groups, strict=True):
        assert torch.equal(mine["params"][0], theirs["params"][0])


def test_a_rate_in_a_tensor_is_scaled_in_place_once_though_groups_share_it() -> None:
    lr = torch.tensor(0.5)
    optimizer = watched()
    for group in optimizer.param_groups:
        group["lr"] = lr
    LRController(optimizer, LocalTrial(params={}, lr_factor=0.25))
    optimizer.step()
    assert optimizer.seen == [[0.125, 0.125]]
    assert optimizer.param_groups[0]["lr"] is lr
    assert float(lr) == 0.5


def test_a_step_that_raises_leaves_no_trace() -> None:
    optimizer = watched()
    LRController(optimizer, LocalTrial(params={}, lr_factor=0.5))

    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(interrupted)
    assert [g["lr"] for g in optimizer.state_dict()["param_groups"]] == [0.1, 0.02]
    optimizer.step()
    assert optimizer.seen[-1] == [0.05, 0.01]
    assert rates(optimizer) == [0.1, 0.02]


def test_the_newest_controller_counts() -> None:
    optimizer = watched()
    LRController(optimizer, LocalTrial(params={}, lr_factor=0.5))
    newest = LRController(optimizer, LocalTrial(params={}, lr_factor=0.25))
    assert newest.lr == [0.025, 0.005]
    optimizer.step()
    newest.detach()
    optimizer.step()
    assert optimizer.seen == [[0.025, 0.005], [0.1, 0.02]]


def test_either_it_or_apply() -> None:
    optimizer = watched()
    Decision(lr_factor=0.5).apply(optimizer)
    with pytest.raises(InvalidInput, match=r"decision\.apply was used"):
        LRController(optimizer, LocalTrial(params={}))


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not Linear"):
        LRController(nn.Linear(1, 1), LocalTrial(params={}))  # type: ignore[arg-type]
