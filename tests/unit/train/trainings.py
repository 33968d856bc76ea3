"""Trainings of the built-in tasks for tests: short ones, their curves and last states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tuner.train import TASKS, run, state, tasks
from tuner.train.local import LocalReport, LocalTrial
from tuner.train.recipe import Recipe
from tuner.train.training import Training

CPU = torch.device("cpu")
PLAIN: dict[str, Any] = {"optimizer": "sgd", "dropout": 0.0, "clip_norm": 1e9, "init_scale": 1.0}
Curve = list[Mapping[str, float]]


def training(task: str = "digits-mlp", **params: Any) -> Training:
    """Return a training before its first step, plain where nothing is said."""
    sources = params.pop("sources", {})
    recipe = Recipe.from_params({}, TASKS[task].defaults, PLAIN | params)
    return Training.start(tasks.get(task), recipe, 1, CPU, "fp32", sources=sources)


def trained(
    folder: Path, task: str = "digits-mlp", recipe: Mapping[str, Any] | None = None, **more: Any
) -> LocalTrial:
    """Run a trial of a few steps with a checkpoint after each; `recipe` is what its study fixes."""
    sources = more.pop("sources", None)
    options = {"device": "cpu", "checkpoint_every": more.pop("every", 0), **more.pop("options", {})}
    trial = LocalTrial(params=more.pop("params", {}), **({"steps": 2, "seed": 3} | more))
    folder.mkdir(exist_ok=True, parents=True)
    run(trial, task, options, folder=folder, recipe=recipe, sources=sources)
    return trial


def curve(reports: Sequence[LocalReport]) -> Curve:
    """Return the reported metrics without the time they took."""
    return [{k: v for k, v in r.metrics.items() if k != "epoch_seconds"} for r in reports]


def saved(trial: LocalTrial) -> state.Tree:
    """Return the last checkpoint."""
    return state.load(trial.checkpoints[-1].path)
