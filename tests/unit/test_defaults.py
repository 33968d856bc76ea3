"""What the service chooses where a document leaves it open."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.defaults import normalise
from tuner.errors import InvalidInput
from tuner.spec import (
    AshaPruner,
    Divergence,
    EarlyStopping,
    HalveOnPlateau,
    MedianPruner,
    StudySpec,
    check,
)

TASK = {"objective": {"metric": "val_loss"}, "run": {"task": "digits-mlp"}}
OWN = {"objective": {"metric": "val_loss"}, "run": "external"}
PRINTS = {
    "objective": {"metric": "val_loss"},
    "run": {"command": ["p"], "report": {"line": "{value}"}},
}
HALVING = {"name": "halve_on_plateau", "min_lr": 1e-5}


def full(base: dict[str, Any], **more: Any) -> tuple[StudySpec, list[str]]:
    return normalise(check({**base, **more}))


@pytest.mark.parametrize(
    ("steps", "first"),
    [(27, 3), (100, 10), (9, 1), (1, 1), (1000, 100)],
)
def test_first_rung_is_a_tenth_of_the_longest_training(steps: int, first: int) -> None:
    spec, _ = full(TASK, budget={"steps": steps})
    assert spec.pruner == AshaPruner(name="asha", min=first, max=steps, eta=3)


def test_steps_come_from_the_task() -> None:
    spec, warnings = full(TASK)
    assert spec.budget.steps == 27
    assert warnings == []


def test_rungs_that_are_given_stay() -> None:
    spec, _ = full(TASK, pruner={"name": "asha", "min": 5, "max": 20, "eta": 2})
    assert spec.pruner == AshaPruner(name="asha", min=5, max=20, eta=2)


def test_without_steps_pruning_is_by_median() -> None:
    spec, warnings = full(OWN)
    assert isinstance(spec.pruner, MedianPruner)
    assert warnings == []


@pytest.mark.parametrize(
    ("space", "min_lr"),
    [
        (None, 1e-5),  # a tenth of the default space's smallest rate
        ({"lr": {"values": [0.1, 0.01]}}, 1e-3),
        ({"lr": {"value": 0.1}}, 1e-2),
        ({"rate": {"min": 0, "max": 1}}, None),  # no parameter is named lr: no halving
    ],
)
def test_default_policies(space: dict[str, Any] | None, min_lr: float | None) -> None:
    spec, _ = full(OWN, **({} if space is None else {"space": space}))
    assert spec.policies is not None
    found = [p.min_lr for p in spec.policies if isinstance(p, HalveOnPlateau)]
    assert found == ([] if min_lr is None else [pytest.approx(min_lr)])
    assert spec.policies[-1].name == "divergence"


@pytest.mark.parametrize(
    ("task", "metric", "mode", "train", "train_mode"),
    [
        ("digits-mlp", "val_loss", "min", "train_loss", "min"),
        ("digits-mlp", "val_accuracy", "max", "train_loss", "min"),  # no train_accuracy is told
        ("cartpole", "val_return", "max", "train_return", "max"),
    ],
)
def test_the_preset_stops_early(
    task: str, metric: str, mode: str, train: str, train_mode: str
) -> None:
    document = {
        "objective": {"metric": metric, "mode": mode},
        "run": {"task": task, "recipe": {"preset": "default"}},
    }
    spec, warnings = full(document)
    assert warnings == []
    stops = [p for p in spec.policies or () if isinstance(p, EarlyStopping)]
    assert [(p.train, p.train_mode) for p in stops] == [(train, train_mode)]
    assert stops[0].patience == 12  # twice the patience of halving, 5 for 27 steps, and 2
    longer, _ = full(document, budget={"steps": 100})
    assert [p.patience for p in longer.policies or () if isinstance(p, EarlyStopping)] == [22]
    own, _ = full(document, policies=[{"name": "divergence"}])
    assert own.policies == [Divergence(name="divergence")]
    without, _ = full({**document, "run": {"task": task, "recipe": {"width": 16}}})
    assert not any(isinstance(p, EarlyStopping) for p in without.policies or ())


@pytest.mark.parametrize(
    ("task", "metric", "mode", "threshold"),
    [
        ("digits-mlp", "val_loss", "min", "rel"),
        ("digits-vae", "val_elbo", "max", "abs"),  # below 0: a share of it would mislead
        ("cartpole", "val_return", "max", "abs"),
    ],
)
def test_the_halving_of_a_task_suits_its_metric(
    task: str, metric: str, mode: str, threshold: str
) -> None:
    spec, warnings = full({"objective": {"metric": metric, "mode": mode}, "run": {"task": task}})
    assert warnings == []
    modes = [p.threshold_mode for p in spec.policies or () if isinstance(p, HalveOnPlateau)]
    assert modes == [threshold]


@pytest.mark.parametrize(
    ("run", "halves"),
    [
        ({"report": {"line": "{value}"}}, False),  # nothing tells it of a rate
        ({"report": {"line": "{value}"}, "on_rate": "SIGUSR1"}, True),
        ({}, True),  # the reply does
    ],
)
def test_a_program_that_is_told_of_no_rate_is_not_halved(run: dict[str, Any], halves: bool) -> None:
    spec, warnings = full(PRINTS, run={"command": ["p"], **run})
    names = [p.name for p in spec.policies or ()]
    assert names == (["halve_on_plateau"] if halves else []) + ["divergence"]
    assert warnings == []


@pytest.mark.parametrize(
    ("steps", "given", "patience"),
    [
        (27, None, 5),
        (81, None, 8),
        (10, None, 5),
        (1000, None, 10),
        (None, None, 10),  # as torch has it
        (27, 0, 0),
    ],
)
def test_patience_grows_with_the_length_of_a_training(
    steps: int | None, given: int | None, patience: int
) -> None:
    halving = {"name": "halve_on_plateau"} | ({} if given is None else {"patience": given})
    spec, _ = full(OWN, policies=[halving], pruner={"name": "none"}, budget={"steps": steps})
    assert [p.patience for p in spec.policies or () if isinstance(p, HalveOnPlateau)] == [patience]


def test_no_policies_are_kept_as_none() -> None:
    assert full(TASK, policies=[])[0].policies == []


def test_normalising_twice_changes_nothing() -> None:
    spec, _ = full(TASK)
    assert normalise(spec)[0] == spec
    assert check(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("base", "more", "words"),
    [
        (TASK, {"run": {"task": "digits"}}, "there are adding-lstm, cartpole, digits-cnn"),
        (TASK, {"objective": {"metric": "loss"}}, "can be tuned on val_loss, val_accuracy"),
        (TASK, {"objective": {"metric": "test_accuracy"}}, "can be tuned on"),
        (TASK, {"objective": {"metric": "val_accuracy"}}, "the best val_accuracy is its max"),
        (TASK, {"space": {"lrr": {"value": 1}}}, "unknown parameter; did you mean 'lr'"),
        (TASK, {"space": {"dropout": {"min": 0.0, "max": 1.0}}}, "below 1"),
        (TASK, {"space": {"lr": {"values": [0.1, 0.0]}}}, "should be above 0"),
        (TASK, {"space": {"batch_size": {"min": 8.0, "max": 512.0}}}, "should be a whole number"),
        (TASK, {"space": {"optimizer": {"value": "lion"}}}, "should be one of 'sgd', 'momentum'"),
        (OWN, {"pruner": {"name": "asha"}}, "asha needs budget.steps, or max"),
        (
            TASK,
            {"policies": [{"name": "update_ratio", "metric": "ratio"}]},
            "digits-mlp reports no 'ratio'; it reports val_loss",
        ),
        (
            OWN,
            {
                "space": {"a": {"value": 1}},
                "policies": [{"name": "halve_on_plateau", "min_lr": 1e-5}],
            },
            "there is no parameter 'lr': add it to the space",
        ),
    ],
)
def test_what_can_not_be_is_refused(base: Any, more: Any, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        full(base, **more)
    assert words in caught.value.faults[0].message


@pytest.mark.parametrize(
    ("base", "more", "words"),
    [
        (OWN, {"objective": {"metric": "reward", "mode": "max"}}, "threshold_mode: abs"),
        (TASK, {"pruner": {"name": "asha", "max": 81}}, "pruner.max is 81"),
        (TASK, {"pruner": {"name": "asha", "min": 27, "max": 27}}, "no rung lies between"),
        (TASK, {"sampler": {"name": "random", "startup": 3}}, "means nothing to random"),
        (TASK, {"sampler": {"name": "gp"}}, "learns from complete trials only"),
        (PRINTS, {"policies": [HALVING]}, "a rate that the program is not told of"),
        (PRINTS, {"policies": [{"name": "warm_restarts"}]}, "warm_restarts changes a rate"),
        (
            TASK,
            {"policies": [HALVING | {"patience": 5}, {"name": "early_stopping", "patience": 5}]},
            "before halve_on_plateau (patience 5) cuts their rate",
        ),
    ],
)
def test_warnings(base: Any, more: Any, words: str) -> None:
    assert any(words in w for w in full(base, **more)[1])
