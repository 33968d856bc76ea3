"""Each field of a recipe reaches the training: with another value it ends elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.train.trainings import trained
from tuner.train import KNOWN_FIELDS, TASKS, run
from tuner.train.local import LocalTrial

MLP, CNN, ADDING, TEXT = "digits-mlp", "digits-cnn", "adding-lstm", "text-lstm"
VAE, POLE, CRITIC = "digits-vae", "cartpole", "digits-critic"
FEW = {"batch_size": 3}  # episodes
PLAIN = {"critic": "plain"}
DEEP = {"depth": 3, "width": 16}

# field: task, its two values, and what the recipe has beside
CASES: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "lr": (MLP, 0.1, 0.2, {}),
    "batch_size": (MLP, 128, 256, {}),
    "init_scale": (MLP, 1.0, 0.5, {}),
    "dropout": (MLP, 0.0, 0.5, {}),
    "clip_norm": (MLP, 100.0, 0.1, {}),
    "init": (MLP, "lecun", "he", {}),
    "optimizer": (MLP, "momentum", "nesterov", {}),
    "momentum": (MLP, 0.9, 0.5, {}),
    "beta2": (MLP, 0.999, 0.9, {"optimizer": "adam", "lr": 0.001}),
    "eps": (MLP, 1e-8, 1e-2, {"optimizer": "adam", "lr": 0.001}),
    "weight_decay": (MLP, 0.0, 0.01, {}),
    "l1": (MLP, 0.0, 0.01, {}),
    "l2": (MLP, 0.0, 0.01, {}),
    "max_norm": (MLP, None, 0.5, {}),
    "clip_value": (MLP, None, 0.001, {}),
    "average": (MLP, None, 0.9, {}),
    "schedule": (MLP, "constant", "cosine", {}),
    "warmup": (MLP, 0.0, 1.0, {}),
    "gamma": (MLP, 0.9, 0.5, {"schedule": "exponential"}),
    "milestones": (MLP, "0.5, 0.75", "0.25", {"schedule": "milestones"}),
    "cycle": (MLP, 1, 2, {"schedule": "cyclic"}),
    "cycle_growth": (MLP, 1, 2, {"schedule": "cyclic", "cycle": 1}),
    "lr_floor": (MLP, 0.0, 0.5, {"schedule": "linear"}),
    "width": (MLP, 64, 32, {}),
    "depth": (MLP, 1, 2, {}),
    "activation": (MLP, "relu", "elu", {}),
    "norm": (MLP, "none", "batch", {}),
    "norm_groups": (MLP, 8, 4, {"norm": "group"}),
    "skip": (CNN, False, True, {"depth": 3, "width": 8}),
    "forget_bias": (TEXT, 1.0, 3.0, {}),
    "standardise": (ADDING, False, True, {"batch_size": 1000}),
    "log1p": (MLP, False, True, {}),
    "flip": (CNN, 0.0, 0.5, {}),
    "crop": (CNN, 0.0, 0.5, {}),
    "shift": (CNN, 0.0, 2.0, {}),
    "rotate": (CNN, 0.0, 30.0, {}),
    "brightness": (CNN, 0.0, 0.5, {}),
    "contrast": (CNN, 0.0, 0.5, {}),
    "noise": (MLP, 0.0, 0.5, {}),
    "mix_noise": (ADDING, 0.0, 0.5, {"batch_size": 1000}),
    "test_augment": (MLP, 0, 2, {"noise": 0.5}),
    "loss": (MLP, "cross_entropy", "focal", {}),
    "focal_gamma": (MLP, 2.0, 1.0, {"loss": "focal"}),
    "label_smoothing": (MLP, 0.0, 0.2, {}),
    "flooding": (MLP, 0.0, 2.0, {}),
    "adversary": (MLP, 0.0, 0.5, {}),
    "labelled": (MLP, 1.0, 0.2, {}),
    "pseudo_labels": (MLP, 0.1, 1.0, {"labelled": 0.2}),
    "pseudo_weight": (MLP, 1.0, 0.1, {"labelled": 0.2, "pseudo_labels": 0.1}),
    "teacher": (MLP, [], ["a/1"], {}),
    "teacher_weight": (MLP, 0.5, 1.0, {"teacher": ["a/1"]}),
    "temperature": (MLP, 2.0, 1.0, {"teacher": ["a/1"]}),
    "start_from": (MLP, None, "a/1", DEEP),
    "fresh_layers": (MLP, 0, 1, {**DEEP, "start_from": "a/1"}),
    "freeze": (MLP, 0, 1, {**DEEP, "start_from": "a/1"}),
    "pretrain": (MLP, 0, 1, {}),
    "pretrain_noise": (MLP, 0.0, 0.5, {"pretrain": 1}),
    "latent": (VAE, 8, 4, {}),
    "kl_weight": (VAE, 1.0, 0.1, {}),
    "critic_steps": (CRITIC, 2, 1, {"batch_size": 300}),
    "critic": (CRITIC, "wasserstein", "plain", {"batch_size": 300}),
    "penalty": (CRITIC, 10.0, 1.0, {"batch_size": 300}),
    "soft_label": (CRITIC, 1.0, 0.8, {"batch_size": 300, **PLAIN}),
    "flip_labels": (CRITIC, 0.0, 0.3, {"batch_size": 300, **PLAIN}),
    "discount": (POLE, 0.99, 0.5, FEW),
    "reward_scale": (POLE, 0.05, 0.5, FEW),
    "randomise": (POLE, 0.3, 0.0, FEW),
    "seeds": (MLP, 1, 2, {}),
    "aggregate": (POLE, "mean", "worst", FEW),
    "aggregate_k": (POLE, 1.0, 2.0, {**FEW, "aggregate": "mean_minus_std"}),
}
SAME = {
    "cache_frozen"
}  # faster, and the same by design: `test_cached_outputs_train_as_computed_ones`


def test_every_field_is_here() -> None:
    assert CASES.keys() | SAME == set(KNOWN_FIELDS)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, ...]]:
    """Return the checkpoint that a teacher, or first weights, come from."""
    folder = tmp_path_factory.mktemp("source")
    path = trained(folder, MLP, DEEP, steps=1).checkpoints[-1].path
    return {"teacher": (path,), "start_from": (path,)}


@pytest.mark.parametrize("field", CASES)
def test_a_field_matters(field: str, sources: dict[str, tuple[Path, ...]], tmp_path: Path) -> None:
    task, one, other, beside = CASES[field]
    ends = [_end(task, field, value, beside, sources, tmp_path) for value in (one, other)]
    assert ends[0] != ends[1]


@pytest.mark.parametrize("task", [VAE, CRITIC])
@pytest.mark.parametrize(
    "field", ["init_scale", "dropout", "clip_norm", "weight_decay", "schedule", "activation"]
)
def test_a_field_matters_to_tasks_of_their_own(field: str, task: str, tmp_path: Path) -> None:
    _, one, other, _ = CASES[field]
    ends = [_end(task, field, value, {"batch_size": 300}, {}, tmp_path) for value in (one, other)]
    assert ends[0] != ends[1]


def _end(
    task: str,
    field: str,
    value: Any,
    beside: dict[str, Any],
    sources: dict[str, tuple[Path, ...]],
    folder: Path,
) -> list[float]:
    """Return the objective after a short training, of a policy also what it got in training."""
    metric = next(iter(TASKS[task].objectives))
    given = {} if value in (None, []) else {field: value}
    trial = LocalTrial(params={}, seed=3, steps=3 if task in (MLP, CNN) else 1)
    options = {"device": "cpu", "checkpoint_every": 3600, "measure_layers": False}
    recipe = {**beside, **given}
    run(trial, task, options, metric=metric, folder=folder, sources=sources, recipe=recipe)
    metrics = trial.reports[-1].metrics
    return [metrics[name] for name in (metric, "train_return") if name in metrics]
