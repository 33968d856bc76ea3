from __future__ import annotations

import math
from typing import Any

import pytest

from tuner.errors import InvalidInput
from tuner.spec import RunTask
from tuner.train import KNOWN_OPTIONS, KNOWN_PARAMS, TASKS, task_info
from tuner.train.options import Options
from tuner.train.recipe import Recipe

DEFAULTS = TASKS["digits-mlp"].defaults


def test_missing_parameters_get_the_defaults_of_the_task() -> None:
    recipe = Recipe.from_params({"lr": 0.25}, DEFAULTS)
    assert recipe == Recipe(lr=0.25, batch_size=128, init_scale=1.0, dropout=0.2, clip_norm=5.0)


def test_a_study_can_set_every_option() -> None:
    assert set(RunTask.model_fields) - {
        "task", "recipe", "progress_timeout", "memory", "gpus", "after"
    } == set(KNOWN_OPTIONS)  # fmt: skip
    defaults = RunTask(task="digits-mlp").model_dump(include=set(KNOWN_OPTIONS))
    assert Options.from_mapping(defaults) == Options()


def test_an_unknown_parameter_is_refused_with_the_known_names() -> None:
    with pytest.raises(InvalidInput) as caught:
        Recipe.from_params({"learning_rate": 0.1, "lr": -1.0}, DEFAULTS)
    assert [fault.where for fault in caught.value.faults] == ["lr", "learning_rate"]
    assert all(name in caught.value.faults[1].message for name in KNOWN_PARAMS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("lr", "0.1"),
        ("lr", True),
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("batch_size", math.inf),
        ("batch_size", math.nan),
        ("batch_size", True),
        ("init_scale", 0.0),
        ("dropout", 1.0),  # nothing would be left
        ("dropout", -0.1),
        ("clip_norm", 0.0),
        ("clip_norm", math.nan),
        ("init", "glorot"),
        ("optimizer", "lbfgs"),
        ("optimizer", 1),
        ("momentum", 1.0),
        ("weight_decay", -1e-3),
    ],
)
def test_a_value_outside_its_range_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=name):
        Recipe.from_params({name: value}, DEFAULTS)


@pytest.mark.parametrize(
    ("params", "momentum"),
    [
        ({"optimizer": "sgd"}, 0.0),  # plain, as torch.optim.SGD
        ({"optimizer": "sgd", "momentum": 0.8}, 0.8),
        ({"optimizer": "momentum"}, 0.9),
        ({"optimizer": "nesterov"}, 0.9),
        ({"optimizer": "adam"}, 0.9),  # beta1
        ({"optimizer": "momentum", "momentum": 0.0}, 0.0),
    ],
)
def test_momentum_follows_the_optimizer(params: dict[str, Any], momentum: float) -> None:
    assert Recipe.from_params(params, DEFAULTS).decay_of_average == momentum


def test_a_whole_number_may_come_as_a_float() -> None:
    recipe = Recipe.from_params({"batch_size": 64.0}, DEFAULTS)
    assert (recipe.batch_size, type(recipe.batch_size)) == (64, int)


@pytest.mark.parametrize(
    "given",
    [
        {"device": "gpu"},
        {"device": "cuda:x"},
        {"device": 0},
        {"precision": "fp8"},
        {"checkpoint_every": -1},
        {"deterministic": "yes"},
        {"gpu": True},
    ],
)
def test_an_option_that_is_not_allowed_is_refused(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(InvalidInput, match=name):
        Options.from_mapping(given)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_have_names(name: str) -> None:
    assert Options.from_mapping({"device": name}) == Options(device=name)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="digits-mlp, digits-cnn, adding-lstm"):
        task_info("mnist")


@pytest.mark.parametrize("task", TASKS)
def test_the_defaults_of_each_task_are_a_recipe(task: str) -> None:
    Recipe.from_params({}, TASKS[task].defaults)
