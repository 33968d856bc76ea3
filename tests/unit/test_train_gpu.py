"""What only a CUDA device can show. `benchmarks/gpu_check.py` prints the same as a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.train import TASKS, run, tasks
from tuner.train.catalog import GPU_REPORTED
from tuner.train.local import LocalTrial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def _run(
    task: str, device: str, params: dict[str, Any] | None = None, **options: Any
) -> LocalTrial:
    trial = LocalTrial(params={"dropout": 0.0, "lr": 0.02} | (params or {}), steps=3)
    run(trial, task, {"device": device, **options})
    return trial


@pytest.mark.parametrize("task", tasks.names())
def test_cuda_gives_the_curve_of_the_cpu(task: str) -> None:
    for ours, theirs in zip(_run(task, "cuda").reports, _run(task, "cpu").reports, strict=True):
        for name in ("train_loss", "val_loss", "grad_norm", "update_ratio"):
            assert ours.metrics[name] == pytest.approx(theirs.metrics[name], rel=2e-3), name


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_options_of_a_recipe_give_the_curve_of_the_cpu(precision: str) -> None:
    recipe = {
        "optimizer": "nesterov", "norm": "batch", "skip": True, "depth": 3, "activation": "elu",
        "average": 0.9, "adversary": 0.1, "schedule": "cosine", "warmup": 1.0, "l1": 1e-4,
        "max_norm": 2.0, "labelled": 0.8, "pseudo_labels": 0.9, "pretrain": 1,
    }  # fmt: skip
    found = []
    for device, exactness in (("cuda", precision), ("cpu", "fp32")):
        trial = LocalTrial(params={"dropout": 0.0, "lr": 0.02}, steps=3)
        run(trial, "digits-cnn", {"device": device, "precision": exactness}, recipe=recipe)
        found.append(trial.reports[-1].metrics["val_loss"])
    assert found[0] == pytest.approx(found[1], rel=0.02 if precision == "fp32" else 0.15)


def test_augmented_and_taught_on_the_gpu(tmp_path: Path) -> None:
    options = {"device": "cuda", "deterministic": True, "checkpoint_every": 0}
    first = LocalTrial(params={}, steps=2)
    run(first, "digits-cnn", options, folder=tmp_path)
    recipe = {
        "shift": 1.0, "rotate": 10.0, "noise": 0.1, "test_augment": 2, "teacher": "a/1",
        "start_from": "a/1", "freeze": 1, "norm": "none",
    }  # fmt: skip
    files = (first.checkpoints[-1].path,)
    sources = {"teacher": files, "start_from": files}
    values: list[list[float]] = []
    for _ in range(2):
        trial = LocalTrial(params={}, steps=2)
        folder = tmp_path / f"pupil-{len(values)}"  # or it would write over its teacher
        folder.mkdir()
        run(trial, "digits-cnn", options, folder=folder, recipe=recipe, sources=sources)
        values.append([report.value for report in trial.reports])
    assert values[0] == values[1]
    assert all(map(math.isfinite, values[0]))


@pytest.mark.parametrize("task", tasks.names())
def test_data_is_resident(task: str) -> None:
    data = tasks.get(task).data().resident(torch.device("cuda", 0))
    assert {split.x.device.type for split in (data.train, data.val, data.test)} == {"cuda"}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("task", tasks.names())
def test_autocast_stays_near_float32(task: str, precision: str) -> None:
    rough = _run(task, "cuda", precision=precision).reports[-1].metrics["val_loss"]
    assert rough == pytest.approx(_run(task, "cuda").reports[-1].metrics["val_loss"], rel=0.1)


def test_a_gpu_reports_its_load_and_memory() -> None:
    metrics = _run("digits-mlp", "cuda").reports[-1].metrics
    told = {name for name in metrics if not name.startswith("layer/")}
    assert told == {*TASKS["digits-mlp"].metrics, *GPU_REPORTED}
    assert 0 <= metrics["gpu_util"] <= 100
    assert 0 < metrics["gpu_mem_peak_mb"] < 1000


@pytest.mark.parametrize("task", tasks.names())
def test_a_deterministic_training_resumes_to_the_bit(task: str, tmp_path: Path) -> None:
    options = {"device": "cuda", "deterministic": True, "checkpoint_every": 0}
    whole = LocalTrial(params={"dropout": 0.2}, steps=3)
    run(whole, task, options, folder=tmp_path)
    again = LocalTrial(params={"dropout": 0.2}, steps=3, resume=whole.checkpoints[0])
    run(again, task, options, folder=tmp_path)
    assert [r.value for r in again.reports] == [r.value for r in whole.reports[1:]]
    assert all(math.isfinite(r.value) for r in again.reports)


def test_a_training_moves_between_devices(tmp_path: Path) -> None:
    first = LocalTrial(params={}, steps=3)
    run(first, "digits-mlp", {"device": "cuda", "checkpoint_every": 0}, folder=tmp_path)
    again = LocalTrial(params={}, steps=3, resume=first.checkpoints[0])
    run(again, "digits-mlp", {"device": "cpu"}, folder=tmp_path)
    assert [report.step for report in again.reports] == [2, 3]
