from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.decision import Decision
from tuner.errors import InvalidInput
from tuner.handle import TrialHandle
from tuner.train import TASKS, run, tasks
from tuner.train.local import LocalReport, LocalTrial
from tuner.train.recipe import OPTIMIZERS

CPU = {"device": "cpu"}


def _run(
    task: str = "digits-mlp",
    params: Mapping[str, Any] | None = None,
    metric: str = "val_loss",
    options: Mapping[str, Any] = CPU,
    **more: Any,
) -> LocalTrial:
    trial = LocalTrial(params=params or {}, **more)
    run(trial, task, options, metric=metric)
    return trial


def _curve(trial: LocalTrial) -> list[dict[str, float]]:
    return [
        {name: value for name, value in report.metrics.items() if name != "epoch_seconds"}
        for report in trial.reports
    ]


@pytest.mark.parametrize("task", tasks.names())
def test_each_epoch_reports_all_metrics(task: str) -> None:
    trial = _run(task, steps=2)
    assert [report.step for report in trial.reports] == [1, 2]
    for report in trial.reports:
        told = {name for name in report.metrics if not name.startswith("layer/")}
        assert told == set(TASKS[task].metrics)
        assert all(type(v) is float and math.isfinite(v) for v in report.metrics.values())
        assert report.value == report.metrics["val_loss"]
        assert report.metrics["epoch_seconds"] > 0
        assert 0 <= report.metrics["val_accuracy"] <= 1


def test_the_steps_of_the_task_are_the_default() -> None:
    trial = _run(params={"batch_size": 1078})
    assert len(trial.reports) == TASKS["digits-mlp"].steps


def test_the_named_metric_is_the_value() -> None:
    trial = _run(metric="val_accuracy", steps=1)
    assert trial.reports[0].value == trial.reports[0].metrics["val_accuracy"]


@pytest.mark.parametrize("metric", ["test_loss", "test_accuracy", "accuracy"])
def test_a_test_metric_is_no_objective(metric: str) -> None:
    with pytest.raises(InvalidInput, match="val_loss, val_accuracy"):
        _run(metric=metric)


@pytest.mark.parametrize("task", tasks.names())
def test_a_curve_follows_from_task_parameters_and_seed(task: str) -> None:
    params = {"dropout": 0.2, "batch_size": 500}
    torch.manual_seed(1)
    first = _run(task, params, seed=1, steps=2)
    other = _run(task, params, seed=2, steps=2)
    torch.manual_seed(2)
    again = _run(task, params, seed=1, steps=2)
    assert _curve(first) == _curve(again)
    for name in ("train_loss", "val_loss", "test_loss", "grad_norm", "update_ratio"):
        assert _curve(first)[0][name] != _curve(other)[0][name]


def test_the_rate_is_the_start_times_the_level() -> None:
    levels = [1.0, 0.5, 0.5, 0.125, 0.125]

    def decide(reports: Sequence[LocalReport]) -> Decision:
        return Decision(lr_factor=levels[len(reports) - 1])

    trial = _run(params={"lr": 0.08, "optimizer": "sgd"}, steps=5, decide=decide)
    assert [r.metrics["lr"] for r in trial.reports] == [0.08, 0.08, 0.04, 0.04, 0.01]


def test_the_level_acts_on_the_weights() -> None:
    params = {"lr": 0.1, "batch_size": 1078, "optimizer": "sgd", "dropout": 0.0}
    full, half = (_run(params=params, steps=1, lr_factor=level) for level in (1.0, 0.5))
    ratio = full.reports[0].metrics["update_ratio"] / half.reports[0].metrics["update_ratio"]
    assert ratio == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_a_diverged_training_reports_no_finite_value(metric: str) -> None:
    trial = _run(params={"lr": 1e30, "clip_norm": 1e30}, metric=metric, steps=1)
    assert not math.isfinite(trial.reports[0].value)


def test_the_rules_of_thumb_learn_the_digits() -> None:
    trial = _run(steps=4)
    assert trial.reports[-1].metrics["val_accuracy"] > 0.93
    assert trial.reports[-1].metrics["test_accuracy"] > 0.93


def test_the_rules_of_thumb_learn_the_digits_with_convolutions() -> None:
    trial = _run("digits-cnn", steps=4)
    assert trial.reports[-1].metrics["val_accuracy"] > 0.93


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_learns(optimizer: str) -> None:
    slow = {"adam": 0.01, "adamw": 0.01, "rmsprop": 0.003, "adagrad": 0.03, "adadelta": 1.0}
    lr = slow.get(optimizer, 0.05)
    params = {"optimizer": optimizer, "lr": lr, "batch_size": 32}
    trial = _run(params=params, steps=3)
    assert trial.reports[-1].metrics["val_accuracy"] > 0.9


def test_bfloat16_learns_on_the_cpu() -> None:
    trial = _run(steps=3, options={"device": "cpu", "precision": "bf16"})
    assert trial.reports[-1].metrics["val_accuracy"] > 0.9


def test_checkpoints_go_to_a_folder_of_their_own(tmp_path: Path) -> None:
    trial = LocalTrial(params={}, steps=2)
    run(trial, "digits-mlp", {"device": "cpu", "checkpoint_every": 0}, folder=tmp_path)
    assert [(c.step, c.path.parent) for c in trial.checkpoints] == [(1, tmp_path), (2, tmp_path)]
    assert len({c.path for c in trial.checkpoints}) == 2
    assert all(c.path.is_file() for c in trial.checkpoints)


def test_no_checkpoint_before_its_time() -> None:
    assert _run(options={"device": "cpu", "checkpoint_every": 3600}, steps=3).checkpoints == []


def test_a_local_trial_is_a_handle() -> None:
    handle: TrialHandle = LocalTrial(params={})
    assert handle.should_stop is False
    assert handle.steps is None


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, tuner.train; print(*sys.modules)"
    loaded = _modules(code)
    assert "tuner.train.catalog" in loaded
    assert not {"torch", "numpy", "sklearn", "safetensors"} & loaded


def test_training_loads_nothing_of_the_server() -> None:
    code = """
import sys
from tuner.train import run, warm
from tuner.train.local import LocalTrial
warm("digits-mlp")
run(LocalTrial(params={}, steps=1), "digits-mlp")
print(*sys.modules)
"""
    loaded = _modules(code)
    assert "torch" in loaded
    assert not {"fastapi", "sqlalchemy", "optuna", "api", "storage"} & loaded


def _modules(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
