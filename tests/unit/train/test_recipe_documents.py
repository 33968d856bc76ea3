"""A recipe in a study's document: fixed values stay there, entries become parameters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tuner.defaults import normalise
from tuner.errors import InvalidInput
from tuner.folk import rules_of_thumb
from tuner.spec import RunTask, StudySpec, check, parse_yaml
from tuner.spec.recipe import GROUPS, RecipeSpec, searchable_fields
from tuner.train import KNOWN_FIELDS, KNOWN_PARAMS, TASKS
from tuner.train.asked import optimizer_of, own_choice
from tuner.train.presets import PRESETS, spread
from tuner.worker.program import read_program

GUIDE = Path(__file__).parents[3] / "docs/guides/recipe.md"
BORING = ("momentum", "beta2", "eps", "lr_floor", "norm_groups", "pseudo_weight")  # the reference's
FIVE = {"lr", "batch_size", "init_scale", "dropout", "clip_norm"}


def _document(recipe: Any, task: str = "digits-mlp", **more: Any) -> dict[str, Any]:
    return {"objective": {"metric": "val_loss"}, "run": {"task": task, "recipe": recipe}, **more}


def _full(recipe: Any, task: str = "digits-mlp", **more: Any) -> StudySpec:
    return normalise(check(_document(recipe, task, **more)))[0]


def _recipe(spec: StudySpec) -> dict[str, Any]:
    assert isinstance(spec.run, RunTask)
    return {} if spec.run.recipe is None else spec.run.recipe.model_dump(exclude_none=True)


def test_the_document_and_the_trainer_know_the_same_fields() -> None:
    assert set(RecipeSpec.model_fields) - {"preset"} == set(KNOWN_FIELDS)
    assert {name for group in GROUPS.values() for name in group.model_fields} == set(KNOWN_FIELDS)
    assert set(KNOWN_PARAMS) == searchable_fields()
    assert set(KNOWN_FIELDS) - searchable_fields() == {
        "teacher", "start_from", "cache_frozen", "seeds", "aggregate", "aggregate_k"
    }  # fmt: skip


def test_the_guide_names_every_field_and_its_study_is_valid() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    named = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert set(KNOWN_FIELDS) <= named | set(BORING)
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    spec, warnings = normalise(check(parse_yaml(example)))
    assert warnings == []
    assert _recipe(spec)["average"] == 0.99


def test_what_is_searched_joins_the_space_and_what_is_fixed_leaves_it() -> None:
    spec = _full({"dropout": 0.2, "width": {"min": 16, "max": 64, "step": 8}})
    assert spec.space is not None
    assert set(spec.space) == FIVE - {"dropout"} | {"width"}
    assert _recipe(spec) == {"dropout": 0.2}


def test_a_condition_may_wait_for_what_the_recipe_searches() -> None:
    recipe = {
        "optimizer": {"values": ["sgd", "momentum"]},
        "momentum": {"min": 0.8, "max": 0.99, "when": {"optimizer": "momentum"}},
    }
    space = _full(recipe, space={"lr": {"min": 0.01, "max": 0.1}}).build_space()
    assert list(space.active({"optimizer": "sgd"})) == ["lr", "optimizer"]
    assert list(space.active({"optimizer": "momentum"})) == ["lr", "optimizer", "momentum"]


def test_a_fixed_rate_is_a_parameter_that_policies_can_cut() -> None:
    spec = _full({"lr": 0.05})
    assert spec.space is not None
    assert spec.space["lr"].value == 0.05
    assert spec.policies is not None
    halving = spec.policies[0]
    assert halving.name == "halve_on_plateau"
    assert halving.min_lr == pytest.approx(0.005)


def test_reading_what_was_normalised_changes_nothing() -> None:
    spec = _full({"preset": "default", "width": {"values": [16, 32]}, "teacher": ["a/1", "b/best"]})
    again = check(spec.model_dump(mode="json", exclude_none=True))
    assert again == spec
    assert normalise(again)[0] == spec


@pytest.mark.parametrize(
    ("task", "recipe", "more", "where", "words"),
    [
        ("digits-mlp", {"optimizer": "adamm"}, {}, "run.recipe.optimizer", "did you mean 'adam'"),
        ("digits-mlp", {"flipp": 1}, {}, "run.recipe.flipp", "did you mean 'flip'"),
        ("digits-mlp", {"widht": {"values": [8]}}, {}, "run.recipe.widht", "did you mean 'width'"),
        ("digits-mlp", {"width": {"min": 8}}, {}, "run.recipe.width", "min and max go together"),
        ("digits-mlp", {"width": 12}, {}, "run.recipe.width", "multiple of 8"),
        ("digits-mlp", {"width": {"min": 8, "max": 64}}, {}, "space.width", "a multiple of 8"),
        ("digits-mlp", {"milestones": "0.9, 0.1"}, {}, "run.recipe.milestones", "rising shares"),
        ("digits-mlp", {"teacher": "best"}, {}, "run.recipe.teacher", "STUDY/NUMBER"),
        ("digits-mlp", {"teacher": []}, {}, "run.recipe.teacher", "1 or more entries, not 0"),
        ("digits-mlp", {"dropout": -0.1}, {}, "run.recipe.dropout", "0 or more, not -0.1"),
        ("digits-mlp", {"lr": 0.0}, {}, "space.lr", "digits-mlp: should be above 0"),
        (
            "digits-mlp",
            {"cache_frozen": {"values": [True]}},
            {},
            "run.recipe.cache_frozen",
            "can't be searched",
        ),
        (
            "digits-mlp",
            {"dropout": 0.1},
            {"space": {"dropout": {"min": 0.0, "max": 0.5}}},
            "",
            "both",
        ),
        (
            "digits-mlp",
            {n: v for n, v in TASKS["digits-mlp"].defaults.items() if n != "lr"},
            {"space": {}},
            "",
            "nothing is left to search",
        ),
        # what a task can't use
        ("adding-lstm", {"flip": 0.5}, {}, "run.recipe.flip", "inputs are images"),
        ("digits-mlp", {"rotate": {"min": 0, "max": 9}}, {}, "space.rotate", "inputs are images"),
        ("digits-cnn", {"mix_noise": 0.1}, {}, "run.recipe.mix_noise", "inputs are sequences"),
        ("adding-lstm", {"norm": "batch"}, {}, "run.recipe.norm", "give none or layer"),
        ("digits-mlp", {"norm": "instance"}, {}, "run.recipe.norm", "give none, batch"),
        ("adding-lstm", {"loss": "focal"}, {}, "run.recipe.loss", "squared, absolute or huber"),
        ("adding-lstm", {"label_smoothing": 0.1}, {}, "run.recipe.label_smoothing", "are classes"),
        ("digits-cnn", {"forget_bias": 1.0}, {}, "run.recipe.forget_bias", "network is recurrent"),
        # what means nothing alone, or does not go together
        ("digits-mlp", {"focal_gamma": 1.0}, {}, "run.recipe.focal_gamma", "without loss: focal"),
        ("digits-mlp", {"gamma": 0.5, "schedule": "cosine"}, {}, "run.recipe.gamma", "exponential"),
        ("digits-mlp", {"freeze": 1}, {}, "run.recipe.freeze", "start_from or pretrain"),
        ("digits-mlp", {"test_augment": 4}, {}, "run.recipe.test_augment", "without flip"),
        (
            "digits-mlp",
            {"test_augment": 4, "noise": 0.0},
            {},
            "run.recipe.test_augment",
            "without flip",
        ),
        ("digits-mlp", {"pseudo_labels": 0.9}, {}, "run.recipe.pseudo_labels", "without labelled"),
        (
            "digits-mlp",
            {"pseudo_labels": 0.9, "labelled": 1.0},
            {},
            "run.recipe.pseudo_labels",
            "without labelled",
        ),
        ("digits-mlp", {"beta2": 0.9}, {}, "run.recipe.beta2", "without optimizer: adadelta"),
        (
            "digits-mlp",
            {"momentum": 0.9, "optimizer": "adagrad"},
            {},
            "run.recipe.momentum",
            "without optimizer: sgd, momentum",
        ),
        ("digits-critic", {"flip_labels": 0.1}, {}, "run.recipe.flip_labels", "critic: plain"),
        (
            "digits-critic",
            {"critic": "plain", "penalty": 10.0},
            {},
            "run.recipe.penalty",
            "without critic: wasserstein",
        ),
        # what asks more of the layers than there are
        ("digits-mlp", {"skip": True}, {}, "run.recipe.skip", "without depth: 2 or more"),
        ("digits-cnn", {"skip": True, "depth": 2}, {}, "run.recipe.skip", "depth: 3 or more"),
        ("digits-mlp", {"pretrain": 1, "freeze": 2}, {}, "run.recipe.freeze", "has 2 layers"),
        (
            "adding-lstm",
            {"start_from": "a/1", "freeze": 2, "depth": 4},
            {},
            "run.recipe.freeze",
            "has 2 layers",
        ),
        (
            "digits-mlp",
            {"start_from": "a/1", "fresh_layers": 2},
            {},
            "run.recipe.fresh_layers",
            "one must be taken over",
        ),
        (
            "digits-mlp",
            {"start_from": "a/1", "fresh_layers": 2, "freeze": 2, "depth": 2},
            {},
            "run.recipe.freeze",
            "begins anew would be held",
        ),
        (
            "digits-mlp",
            {"pretrain": 2, "freeze": 1, "cache_frozen": True, "noise": 0.1},
            {},
            "run.recipe.cache_frozen",
            "does not go with noise",
        ),
        (
            "digits-mlp",
            {"loss": {"values": ["cross_entropy", "focal"]}, "label_smoothing": 0.1},
            {},
            "run.recipe.label_smoothing",
            "does not go with loss: focal",
        ),
    ],
)
def test_what_can_not_be_is_refused_where_it_stands(
    task: str, recipe: Any, more: Any, where: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        _full(recipe, task, **more)
    assert caught.value.faults[0].where == where
    assert words in caught.value.faults[0].message


@pytest.mark.parametrize(
    ("task", "recipe"),
    [
        ("digits-critic", {"beta2": 0.9}),  # the task's own rule is adam
        ("digits-mlp", {"preset": "default", "norm": "group", "norm_groups": 4}),
        ("digits-mlp", {"pretrain": 2, "freeze": 1, "cache_frozen": True, "noise": 0.0}),
        ("digits-mlp", {"depth": {"min": 1, "max": 3}, "skip": True, "freeze": 0}),
        ("digits-mlp", {"start_from": "a/1", "fresh_layers": 1, "freeze": 1}),
    ],
)
def test_what_makes_sense_together_is_taken(task: str, recipe: Any) -> None:
    assert _full(recipe, task)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"warmup": 27}, "warmup lasts the whole training of 27 steps"),
        ({"schedule": "cyclic", "cycle": 30}, "cycle lasts the whole training of 27 steps"),
    ],
)
def test_what_is_hardly_meant_is_warned_of(recipe: Any, words: str) -> None:
    _, (warning,) = normalise(check(_document(recipe)))
    assert words in warning


def test_milestones_may_be_a_list() -> None:
    spec = _full({"schedule": "milestones", "milestones": [0.5, 0.75]})
    assert _recipe(spec)["milestones"] == "0.5, 0.75"


def test_a_value_that_suits_its_choice_is_taken() -> None:
    recipe = {
        "loss": {"values": ["cross_entropy", "focal"]},
        "focal_gamma": {"min": 0.5, "max": 3.0, "when": {"loss": "focal"}},
        "schedule": {"values": ["constant", "milestones"]},
        "milestones": {"values": ["0.5", "0.5, 0.75"], "when": {"schedule": "milestones"}},
    }
    assert set(_full(recipe).build_space().parameters) == FIVE | set(recipe)


def test_the_preset_gives_each_task_what_it_can_use() -> None:
    assert spread(TASKS["digits-mlp"], {"preset": "default", "norm": "layer"}) == {
        **PRESETS["default"],
        "norm": "layer",
    }
    assert set(spread(TASKS["adding-lstm"], {"preset": "default"})) == {
        "init", "dropout", "optimizer"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "optimizer", "rate"),
    [
        ({"optimizer": "adam"}, "adam", 1e-3),
        ({"preset": "default"}, "nesterov", 0.1),
        ({}, "momentum", 0.1),
        ({"optimizer": {"values": ["adam", "rmsprop"]}}, None, 1e-3),
    ],
)
def test_rules_of_thumb_follow_the_fixed_optimizer(
    recipe: Any, optimizer: str | None, rate: float
) -> None:
    spec = _full(recipe)
    assert optimizer_of(spec) == optimizer
    points = rules_of_thumb(spec.build_space(), lambda _: True, optimizer=optimizer)
    assert points[0]["lr"] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("task", "recipe", "first"),
    [
        ("text-lstm", {}, {"lr": 1.0, "batch_size": 32, "dropout": 0.0, "clip_norm": 5.0}),
        ("digits-vae", {}, {"lr": 0.02, "batch_size": 64, "clip_norm": 15.0}),
        # its own rule is adam
        ("digits-critic", {"critic_steps": {"values": [1, 5]}}, {"lr": 0.001, "critic_steps": 5}),
        # what is searched begins off, and at the network's own size
        (
            "digits-cnn",
            {"rotate": {"min": 0, "max": 15}, "width": {"min": 8, "max": 64, "step": 8}},
            {"lr": 0.1, "rotate": 0, "width": 16, "dropout": 0.0},
        ),
        (
            "digits-cnn",
            {"preset": "default", "width": {"values": [8, 16]}},
            {"dropout": 0.2, "width": 16},
        ),
    ],
)
def test_the_first_trial_is_what_the_task_does_by_itself(
    task: str, recipe: Any, first: dict[str, Any]
) -> None:
    spec = _full(recipe, task)
    optimizer, own = optimizer_of(spec), own_choice(spec)
    points = rules_of_thumb(spec.build_space(), lambda _: True, optimizer=optimizer, own=own)
    assert {name: points[0][name] for name in first} == first


def test_a_tasks_own_rate_is_not_for_another_update_rule() -> None:
    assert own_choice(_full({"optimizer": "adam"})) is None
    assert own_choice(_full({"optimizer": {"values": ["momentum", "adam"]}})) is not None
    assert own_choice(check({"objective": {"metric": "x"}, "run": "external"})) is None


def test_a_worker_hands_the_fixed_values_to_the_trainer() -> None:
    run = _full({"norm": "batch", "teacher": "a/1"}).run
    assert isinstance(run, RunTask)
    program = read_program(run.model_dump(mode="json"))
    assert program is not None
    assert program.options["recipe"] == {"norm": "batch", "teacher": "a/1"}
