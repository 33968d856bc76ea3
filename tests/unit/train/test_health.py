"""What the built-in trainer measures of its layers: by hand, the same when resumed, and of no
influence; and the findings on trainings that are known to go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.train.trainings import curve, trained, training
from tuner.findings import Reported, judged
from tuner.train import solo, tasks
from tuner.train.health import Health
from tuner.train.local import LocalTrial


def findings(trial: LocalTrial) -> list[str]:
    reported = [Reported.of(r.step, r.value, 1.0, r.metrics, "val_loss") for r in trial.reports]
    return [finding.rule for finding in judged(reported)]


def test_the_layers_of_one_step_by_hand() -> None:
    one = training(lr=0.5, batch_size=2000)
    data = tasks.get("digits-mlp").data()
    health = Health(one, data)
    before = [p.detach().clone() for p in one.model.parameters()]
    assert solo.run_epoch(one, data.train, 0.5, lambda: False)
    (norm, _) = one.records[0][1:].tolist()
    found = health.measure({"grad_norm": norm, "train_loss": 1.0})
    layers, measures = ("hidden.0.map", "out"), ("grad", "update", "var")
    expected = {f"layer/{layer}/{what}" for layer in layers for what in measures}
    assert set(found) == {*expected, "layer/hidden.0.activation/dead"}
    after = [p.detach() for p in one.model.parameters()]
    changes = [float((a - b).norm()) for a, b in zip(after, before, strict=True)]
    hidden = torch.tensor(changes[:2]).norm() / torch.stack([b.norm() for b in before[:2]]).norm()
    assert found["layer/hidden.0.map/update"] == pytest.approx(float(hidden), rel=1e-4)
    # plain SGD: the gradient is the change over the rate
    assert found["layer/out/grad"] == pytest.approx(
        float(torch.tensor(changes[2:]).norm()) / 0.5, rel=1e-3
    )
    grads = [found[f"layer/{n}/grad"] for n in ("hidden.0.map", "out")]
    assert float(torch.tensor(grads).norm()) == pytest.approx(norm, rel=1e-4)


def test_a_training_left_within_an_epoch_measures_the_same(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", steps=5)
    asked = iter(range(100))
    left = trained(tmp_path / "left", steps=5, leave=lambda: next(asked) > 17, every=3600)
    assert len(left.reports) < 5
    again = trained(tmp_path / "again", steps=5, resume=left.checkpoints[-1])
    assert curve(left.reports) + curve(again.reports) == curve(whole.reports)


@pytest.mark.parametrize(
    ("task", "recipe", "rule"),
    [
        # the rate is a thousandth of what it should be
        ("digits-mlp", {"lr": 1e-4, "optimizer": "sgd"}, "update_ratio_low"),
        # and some thirty times it: it jumps about
        ("digits-mlp", {"lr": 3.0, "optimizer": "sgd"}, "bounces"),
        # steps of the same size on weights that may not grow
        ("digits-mlp", {"lr": 0.1, "optimizer": "adam", "max_norm": 1.0}, "update_ratio_high"),
        # a saddle: all weights nearly zero
        ("digits-mlp", {"lr": 1e-4, "optimizer": "sgd", "init_scale": 1e-3}, "saddle"),
        # ten sigmoid layers
        (
            "digits-mlp",
            {"lr": 0.1, "optimizer": "sgd", "depth": 10, "activation": "sigmoid"},
            "gradients_vanish",
        ),
    ],
)
def test_trainings_that_go_wrong_say_why(
    tmp_path: Path, task: str, recipe: dict[str, Any], rule: str
) -> None:
    fixed = {"dropout": 0.0, "clip_norm": 1e9, "batch_size": 128} | recipe
    assert rule in findings(trained(tmp_path, task, fixed, steps=16))


def test_a_training_that_goes_well_says_nothing(tmp_path: Path) -> None:
    fixed = {"dropout": 0.0, "clip_norm": 5.0, "batch_size": 128, "lr": 0.1, "optimizer": "sgd"}
    assert findings(trained(tmp_path, recipe=fixed, steps=8)) == []


def test_measuring_is_of_no_influence_and_can_be_left_out(tmp_path: Path) -> None:
    with_layers = trained(tmp_path / "with", steps=6)
    without = trained(tmp_path / "without", steps=6, options={"measure_layers": False})
    plain = [
        {k: v for k, v in one.items() if not k.startswith(("layer/", "hessian", "escape"))}
        for one in curve(with_layers.reports)
    ]
    assert curve(without.reports) == plain
    assert plain != curve(with_layers.reports)
