"""With each option on, a training that was interrupted is equal to one that was not, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.train.trainings import curve, saved, trained, training
from tuner.train import solo, tasks
from tuner.train.local import LocalTrial
from tuner.train.models import keep
from tuner.train.recipe import OPTIMIZERS

SEEN: dict[str, Any] = {"batch_size": 360, "dropout": 0.3}  # three batches an epoch
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ("digits-mlp", {"optimizer": name, "lr": 0.01}) for name in OPTIMIZERS},
    "average": ("digits-mlp", {"average": 0.9, "norm": "batch"}),
    "spectral": ("digits-mlp", {"norm": "spectral", "depth": 2, "skip": True}),
    "warm-up and cycles": ("digits-mlp", {"warmup": 1.5, "schedule": "cyclic", "cycle": 2}),
    "cosine": ("digits-mlp", {"schedule": "cosine", "flooding": 0.3, "l1": 1e-4}),
    "augmented": (
        "digits-cnn",
        {"shift": 1.0, "rotate": 10.0, "flip": 0.1, "noise": 0.1, "test_augment": 2},
    ),
    "mixed noise": ("adding-lstm", {"mix_noise": 0.1, "adversary": 0.1, "batch_size": 1334}),
    "adversary of a text": ("text-lstm", {"adversary": 1.0, "batch_size": 118}),
    "adversary": ("digits-mlp", {"adversary": 0.5, "activation": "soft_threshold"}),
    "pseudo": ("digits-mlp", {"labelled": 0.7, "pseudo_labels": 0.5, "batch_size": 252}),
    "pretrain and hold": (
        "digits-mlp",
        {"pretrain": 2, "depth": 2, "freeze": 1, "cache_frozen": True},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_interrupted_in_the_middle_of_an_epoch(name: str, tmp_path: Path) -> None:
    task, recipe = CASES[name]
    recipe = SEEN | recipe
    whole = trained(tmp_path / "whole", task, recipe, steps=3)
    asked = 0

    def leave() -> bool:
        nonlocal asked
        asked += 1
        # Three batches an epoch and one poll after its report; while pre-training, each batch.
        return asked > 6 + (6 if "pretrain" in recipe else 0)

    first = trained(tmp_path / "first", task, recipe, steps=3, leave=leave, every=3600)
    assert [c.step for c in first.checkpoints] == [1]
    assert saved(first)["batch"] == 2
    second = trained(tmp_path / "second", task, recipe, steps=3, resume=first.checkpoints[-1])
    assert curve([*first.reports[:1], *second.reports]) == curve(whole.reports)
    _assert_equal(saved(second), saved(whole))


def _assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one.keys() - {"seconds"}:
            _assert_equal(one[name], other[name])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def test_cuts_multiply_the_schedule(tmp_path: Path) -> None:
    recipe = {"schedule": "exponential", "gamma": 0.5, "lr": 0.1, "batch_size": 1078}
    trial = trained(tmp_path, recipe=recipe, steps=3, lr_factor=0.5)
    assert isinstance(trial, LocalTrial)
    # One batch an epoch: the course stands at whole epochs. The decisions go back to a level of 1.
    assert [r.metrics["lr"] for r in trial.reports] == pytest.approx([0.05, 0.05, 0.025])


@pytest.mark.parametrize("task", ["digits-cnn", "adding-lstm"])
def test_copies_in_evaluation_are_averaged(task: str) -> None:
    one = training(task, noise=0.5, test_augment=3)
    rows = tasks.get(task).data().val
    copies = [rows.x]
    for copy in (1, 2, 3):
        one.augment.at("test", 0, copy)
        copies.append(one.augment(rows.x))
    predicted = torch.stack([one.model(x, keep) for x in copies])
    # of classes the mean probability is what is judged, of numbers the mean
    mean = predicted.softmax(2).mean(0).log() if one.classes else predicted.mean(0)
    loss, right = solo.evaluate(one, rows).tolist()
    assert one.task.accuracy is not None
    assert loss == pytest.approx(one.task.loss(mean, rows.y).mean().item(), rel=1e-5)
    assert right == pytest.approx(one.task.accuracy(mean, rows.y).mean().item())
    assert loss != pytest.approx(one.task.loss(predicted[0], rows.y).mean().item(), rel=1e-3)


def test_copies_change_evaluation_alone(tmp_path: Path) -> None:
    recipe = {"shift": 1.0}
    plain = trained(tmp_path / "plain", "digits-cnn", recipe, steps=1)
    more = trained(tmp_path / "more", "digits-cnn", recipe | {"test_augment": 4}, steps=1)
    assert plain.reports[0].metrics["train_loss"] == more.reports[0].metrics["train_loss"]
    assert plain.reports[0].metrics["val_loss"] != more.reports[0].metrics["val_loss"]
