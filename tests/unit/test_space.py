"""Search spaces and constraints."""

from __future__ import annotations

import pytest

from tuner.constraints import parse
from tuner.handle import ParamValue
from tuner.space import Categorical, Numeric, Parameter, Space, default_space, middle

LOG = Numeric(integer=False, low=1e-4, high=1.0, log=True)
GRID = Numeric(integer=True, low=8, high=64, step=8)
CHOICE = Categorical(values=(16, 32, 128))
WORDS = Categorical(values=("sgd", "adam"))


@pytest.mark.parametrize(
    ("parameter", "value", "inside"),
    [
        (LOG, 1e-4, True),  # bounds are included
        (LOG, 1.0, True),
        (LOG, 1.1, False),
        (LOG, float("nan"), False),
        (LOG, "0.1", False),
        (LOG, True, False),  # a truth value is no number
        (GRID, 8, True),
        (GRID, 8.5, False),  # not whole
        (CHOICE, 32, True),
        (CHOICE, 32.0, False),  # of another type
        (CHOICE, 64, False),
        (WORDS, "adam", True),
    ],
)
def test_contains(parameter: Parameter, value: ParamValue, *, inside: bool) -> None:
    assert parameter.contains(value) is inside


@pytest.mark.parametrize(
    ("parameter", "value", "nearest"),
    [
        (LOG, 0.1, 0.1),  # inside: unchanged
        (LOG, 7.0, 1.0),  # above: the bound
        (LOG, 0.0, 1e-4),
        (GRID, 13, 16),  # to the grid
        (GRID, 1000, 64),
        (CHOICE, 64, 32),  # by ratio, 64 lies as near to 32 as to 128: the first
        (CHOICE, 100, 128),
        (WORDS, "lbfgs", "sgd"),  # no order: the first
        (WORDS, 3, "sgd"),
    ],
)
def test_nearest(parameter: Parameter, value: ParamValue, nearest: ParamValue) -> None:
    found = parameter.nearest(value)
    assert found == pytest.approx(nearest) if isinstance(nearest, float) else found == nearest
    assert parameter.contains(found)


@pytest.mark.parametrize(
    ("parameter", "centre"),
    [(LOG, 0.01), (GRID, 40), (WORDS, "sgd"), (Numeric(integer=False, low=0.0, high=0.7), 0.35)],
)
def test_middle(parameter: Parameter, centre: ParamValue) -> None:
    found = middle(parameter)
    assert found == pytest.approx(centre) if isinstance(centre, float) else found == centre


CONDITIONAL = Space(
    parameters={
        "optimizer": WORDS,
        "momentum": Numeric(integer=False, low=0.8, high=0.99, when={"optimizer": ("sgd",)}),
        "nesterov": Categorical(values=(True, False), when={"optimizer": ("sgd",)}),
    }
)


@pytest.mark.parametrize(
    ("params", "faults"),
    [
        ({"optimizer": "adam"}, 0),
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, 0),
        ({"optimizer": "sgd"}, 2),  # both children are missing
        ({"optimizer": "adam", "momentum": 0.9}, 1),  # its condition does not hold
        ({"optimizer": "adam", "lr": 0.1}, 1),  # unknown
        ({"optimizer": "sgd", "momentum": 2.0, "nesterov": True}, 1),  # outside
        ({}, 1),
    ],
)
def test_faults(params: dict[str, ParamValue], faults: int) -> None:
    assert len(CONDITIONAL.faults(params)) == faults


def test_nearest_point_lies_in_the_space() -> None:
    for wish in ({}, {"optimizer": "adam"}, {"momentum": 5.0, "other": 1}):
        assert CONDITIONAL.faults(CONDITIONAL.nearest(wish)) == []
    assert default_space().faults(default_space().nearest({"lr": 3.0})) == []


@pytest.mark.parametrize(
    ("text", "params", "holds"),
    [
        ("lr * 256 / batch_size <= 4", {"lr": 0.1, "batch_size": 16}, True),
        ("lr * 256 / batch_size <= 4", {"lr": 1.0, "batch_size": 16}, False),
        ("lr < 1 and batch_size > 8", {"lr": 0.1, "batch_size": 16}, True),
        ("not lr < 1", {"lr": 0.1, "batch_size": 16}, False),
        ("0.01 < lr < 0.2", {"lr": 0.1, "batch_size": 16}, True),  # chained
        ("log2(batch_size) == 4", {"lr": 0.1, "batch_size": 16}, True),
        ("max(lr, 0.5) > 0.4", {"lr": 0.1, "batch_size": 16}, True),
        ("lr < 1", {"batch_size": 16}, True),  # lr does not exist: vacuous
        ("1 / (lr - lr) > 0", {"lr": 0.1, "batch_size": 16}, False),  # can't be computed
        ("9 ** 9 ** 9 < lr", {"lr": 0.1, "batch_size": 16}, False),  # too large to compute
    ],
)
def test_constraint(text: str, params: dict[str, ParamValue], *, holds: bool) -> None:
    assert parse(text, ["lr", "batch_size"]).holds(params) is holds
