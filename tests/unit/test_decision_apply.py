"""A decision applied to an optimizer: a level, whatever is repeated, saved or tensor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuner.decision import Decision
from tuner.errors import InvalidInput
from tuner.torch import LRController
from tuner.train.local import LocalTrial


def parameters(count: int = 1) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)) for _ in range(count)]


def rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def two_groups() -> torch.optim.SGD:
    first, second = parameters(2)
    groups: list[dict[str, Any]] = [{"params": [first]}, {"params": [second], "lr": 0.02}]
    return torch.optim.SGD(groups, lr=0.1)


def test_each_group_keeps_its_own_base() -> None:
    optimizer = two_groups()
    for factor in (0.5, 0.5, 0.25, 0.25, 1.0):  # a level: repeating changes nothing, nor does order
        Decision(lr_factor=factor).apply(optimizer)
        assert rates(optimizer) == [0.1 * factor, 0.02 * factor]


def test_bases_are_saved_with_the_optimizer() -> None:
    optimizer, again = two_groups(), two_groups()
    Decision(lr_factor=0.5).apply(optimizer)
    again.load_state_dict(optimizer.state_dict())
    assert rates(again) == [0.05, 0.01]
    Decision(lr_factor=0.25).apply(again)
    assert rates(again) == [0.025, 0.005]


def test_a_rate_in_a_tensor_is_set_in_place() -> None:
    lr = torch.tensor(0.5)
    first, second = parameters(2)
    groups: list[dict[str, Any]] = [{"params": [first]}, {"params": [second]}]
    optimizer = torch.optim.Adam(groups, lr=lr, foreach=False)
    held = [group["lr"] for group in optimizer.param_groups]
    for _ in range(2):
        Decision(lr_factor=0.5).apply(optimizer)
        assert rates(optimizer) == [0.25, 0.25]
    assert all(a["lr"] is b for a, b in zip(optimizer.param_groups, held, strict=True))
    assert isinstance(held[0], Tensor)


def test_it_is_refused_beside_a_scheduler() -> None:
    optimizer = two_groups()
    torch.optim.lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises(InvalidInput, match=r"LRController\(optimizer, trial\)"):
        Decision(lr_factor=0.5).apply(optimizer)
    assert rates(optimizer) == [0.1, 0.02]


def test_it_is_refused_beside_a_controller() -> None:
    optimizer = two_groups()
    LRController(optimizer, LocalTrial(params={}))
    with pytest.raises(InvalidInput, match="applies every decision to this SGD already"):
        Decision().apply(optimizer)


@pytest.mark.parametrize("thing", [None, 3, nn.Linear(1, 1)])
def test_what_has_no_rate_is_refused(thing: object) -> None:
    with pytest.raises(InvalidInput, match="a torch optimizer with a rate, not"):
        Decision().apply(thing)
