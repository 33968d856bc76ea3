"""Rules of thumb: the field's values, moved into a space, each once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.histories import study
from tuner.folk import MOST, rules_of_thumb
from tuner.space import Categorical, Numeric, Params, Space, default_space
from tuner.spec import check


def anything(params: Params) -> bool:
    return True


def space(**parameters: dict[str, Any]) -> Space:
    document = {"objective": {"metric": "loss"}, "run": "external", "space": parameters}
    return check(document).build_space()


def extended(**more: Categorical | Numeric) -> Space:
    return Space(parameters={**default_space().parameters, **more})


SGD_AND_ADAM = Categorical(values=("sgd", "adam"))
ADAM_ONLY = Categorical(values=("adam",))
MOMENTUM = Numeric(integer=False, low=0.8, high=0.99, when={"optimizer": ("sgd",)})
DECAY = Numeric(integer=False, low=1e-5, high=0.1, log=True)


def test_the_default_space_gets_the_fields_values() -> None:
    names = ("lr", "batch_size", "init_scale", "dropout", "clip_norm")
    assert [tuple(p[n] for n in names) for p in rules_of_thumb(default_space(), anything)] == [
        (0.1, 128, 1.0, 0.5, 15.0),  # cautious dropout, the loose clip
        (0.1, 128, 1.0, 0.2, 5.0),  # dropout for a simple network, the tight clip
        (0.1, 32, 1.0, 0.2, 5.0),  # a small batch for little data
        (0.1, 128, 0.1, 0.5, 15.0),  # the other init scale
        (0.01, 128, 1.0, 0.2, 5.0),  # a smaller rate
    ]


def test_every_point_lies_in_the_space() -> None:
    for chosen in (default_space(), extended(optimizer=SGD_AND_ADAM, momentum=MOMENTUM)):
        points = rules_of_thumb(chosen, anything)
        assert 4 <= len(points) <= MOST
        assert [chosen.faults(p) for p in points] == [[]] * len(points)


def test_the_optimizer_brings_its_rate() -> None:
    points = rules_of_thumb(extended(optimizer=SGD_AND_ADAM, momentum=MOMENTUM), anything)
    assert len(points) == 6
    adam = [p for p in points if p["optimizer"] == "adam"]
    assert [p["lr"] for p in adam] == [0.001]
    assert points.index(adam[0]) == 2
    assert all(p["momentum"] == 0.9 for p in points if p["optimizer"] == "sgd")
    assert "momentum" not in adam[0]


def test_with_adam_alone_all_rates_are_small() -> None:
    points = rules_of_thumb(extended(optimizer=ADAM_ONLY), anything)
    assert [p["lr"] for p in points] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-3, 1e-4])


@pytest.mark.parametrize(
    ("values", "first"),
    [
        # plain SGD has no momentum where nothing else sets it
        (("sgd", "momentum", "adam"), "momentum"),
        (("nesterov", "sgd"), "nesterov"),
        # names nobody knows: the first of the list
        (("lion", "lamb"), "lion"),
    ],
)
def test_which_optimizer_comes_first(values: tuple[str, ...], first: str) -> None:
    points = rules_of_thumb(extended(optimizer=Categorical(values=values)), anything)
    assert points[0]["optimizer"] == first
    assert points[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        ("adadelta", [1.0, 1.0, 1.0, 1.0, 0.1]),
        ("adagrad", [0.01, 0.01, 0.01, 0.01, 0.001]),
        ("rmsprop", [1e-3, 1e-3, 1e-3, 1e-3, 1e-4]),
        ("nesterov", [0.1, 0.1, 0.1, 0.1, 0.01]),
    ],
)
def test_each_optimizer_has_its_rate(optimizer: str, rates: list[float]) -> None:
    chosen = extended(optimizer=Categorical(values=(optimizer,)))
    assert [p["lr"] for p in rules_of_thumb(chosen, anything)] == pytest.approx(rates)
    fixed = rules_of_thumb(default_space(), anything, optimizer=optimizer)
    assert [p["lr"] for p in fixed] == pytest.approx(rates)


def test_what_a_task_does_by_itself_is_the_first_unless_it_is_a_rule() -> None:
    rules = rules_of_thumb(default_space(), anything)
    known = {"lr": 0.1, "batch_size": 32, "init_scale": 1.0, "dropout": 0.2, "clip_norm": 5.0}
    assert rules_of_thumb(default_space(), anything, own=known) == rules
    found = rules_of_thumb(default_space(), anything, own={**known, "lr": 2.0, "width": 8})
    assert found == [{**known, "lr": 1.0}, *rules]
    assert (
        rules_of_thumb(default_space(), lambda p: float(p["lr"]) < 1, own={**known, "lr": 2.0})
        == rules
    )


def test_weight_decay_is_set_where_it_is_searched() -> None:
    points = rules_of_thumb(extended(weight_decay=DECAY), anything)
    assert {p["weight_decay"] for p in points} == {0.005}


def test_points_outside_are_moved_in_and_kept_once() -> None:
    chosen = space(lr={"min": 1e-5, "max": 1e-2, "log": True}, width={"values": [64, 32]})
    assert rules_of_thumb(chosen, anything) == [{"lr": 0.01, "width": 64}]


def test_a_grid_and_a_list_give_their_nearest_value() -> None:
    chosen = space(lr={"min": 0.03, "max": 0.33, "step": 0.1}, batch_size={"values": [100, 1000]})
    assert rules_of_thumb(chosen, anything)[0] == {"lr": pytest.approx(0.13), "batch_size": 100}


def test_constraints_leave_points_out() -> None:
    document = {
        "objective": {"metric": "loss"},
        "run": "external",
        "constraints": ["lr * 128 / batch_size <= 0.1"],
    }
    allows = study().evolve(spec=check(document)).allows
    points = rules_of_thumb(default_space(), allows)
    assert [p["batch_size"] for p in points] == [128] * 4
    assert rules_of_thumb(default_space(), lambda params: False) == []


def test_a_space_of_other_names_has_no_rules() -> None:
    assert rules_of_thumb(space(temperature={"min": 0.1, "max": 2.0}), anything) == []


@pytest.mark.parametrize(("limit", "n"), [(0, 0), (2, 2), (100, 5), (-1, 0)])
def test_the_limit(limit: int, n: int) -> None:
    assert len(rules_of_thumb(default_space(), anything, limit)) == n
