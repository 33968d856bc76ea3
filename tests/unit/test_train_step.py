from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuner.train import TASKS, solo, tasks
from tuner.train.models import keep
from tuner.train.recipe import Recipe
from tuner.train.training import Training
from tuner.train.weights import Flat, clip

CPU = torch.device("cpu")
LR = 0.05


def _training(task: str = "digits-mlp", precision: str = "fp32", **params: Any) -> Training:
    plain: dict[str, Any] = {
        "optimizer": "sgd",
        "dropout": 0.0,
        "clip_norm": 1e9,
        "init_scale": 1.0,
    }
    recipe = Recipe.from_params(plain | params, TASKS[task].defaults)
    return Training.start(tasks.get(task), recipe, 1, CPU, precision)


def _batch(task: str, rows: int = 32) -> tuple[Tensor, Tensor]:
    train = tasks.get(task).data().train
    return train.x[:rows], train.y[:rows]


def _gradient(training: Training, x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient of the mean loss by autograd alone, in the order of the parameters."""
    parameters = [p for p in training.model.parameters() if p.requires_grad]
    loss = training.task.loss(training.model(x, keep), y).mean()
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, parameters)])


@pytest.mark.parametrize("task", tasks.names())
def test_the_gradient_is_the_mean_over_the_batch(task: str) -> None:
    once, twice = _training(task), _training(task)
    x, y = _batch(task)
    first = solo.step(once, x, y, LR)
    second = solo.step(twice, torch.cat((x, x)), torch.cat((y, y)), LR)
    torch.testing.assert_close(twice.weights.value, once.weights.value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(second, first * torch.tensor([2.0, 1.0, 1.0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", tasks.names())
def test_a_plain_step_is_rate_times_gradient(task: str) -> None:
    training = _training(task)
    x, y = _batch(task)
    before, gradient = training.weights.value.clone(), _gradient(training, x, y)
    loss_sum, norm, ratio = solo.step(training, x, y, LR).tolist()
    torch.testing.assert_close(training.weights.value, before - LR * gradient)
    assert norm == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert ratio == pytest.approx(LR * gradient.norm().item() / before.norm().item(), rel=1e-5)
    fresh = _training(task)
    losses = fresh.task.loss(fresh.model(x, keep), y)
    assert loss_sum == pytest.approx(losses.sum().item(), rel=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.999, 1.001, 10.0])
def test_a_step_is_clipped_at_the_norm(share: float) -> None:
    x, y = _batch("digits-mlp")
    norm = _gradient(_training(), x, y).norm().item()
    training = _training(clip_norm=share * norm)
    before = training.weights.value.clone()
    _, reported, _ = solo.step(training, x, y, LR).tolist()
    moved = (training.weights.value - before).norm().item()
    assert reported == pytest.approx(norm, rel=1e-5)  # as it was before the clip
    assert moved == pytest.approx(LR * min(norm, share * norm), rel=1e-4)


@pytest.mark.parametrize("limit", [0.5, 5.0, 1e6, math.inf])
def test_clip_equals_torchs(limit: float) -> None:
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    parameter = nn.Parameter(torch.zeros(1000))
    parameter.grad = gradient.clone()
    theirs = nn.utils.clip_grad_norm_([parameter], limit)
    ours = clip(gradient, limit)
    assert torch.equal(ours, theirs)
    assert torch.equal(gradient, parameter.grad)


def test_clip_leaves_a_gradient_of_0() -> None:
    gradient = torch.zeros(3)
    assert clip(gradient, 1.0).item() == 0.0
    assert gradient.tolist() == [0.0, 0.0, 0.0]


def test_weights_and_gradients_are_views_of_one_vector() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    expected = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    flat = Flat(model)
    assert torch.equal(flat.value, expected)
    flat.value.fill_(2.0)
    assert all((p == 2.0).all() for p in model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    gradients = [p.grad.reshape(-1) for p in model.parameters() if p.grad is not None]
    assert torch.equal(flat.gradient, torch.cat(gradients))
    assert flat.gradient.abs().sum() > 0


def test_a_held_weight_is_not_part_of_the_vector() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert Flat(model).value.shape == (6,)


def test_dropout_is_on_in_a_step_and_off_in_evaluation() -> None:
    data = tasks.get("digits-mlp").data()
    wet, dry = _training(dropout=0.5), _training(dropout=0.0)
    assert torch.equal(solo.evaluate(wet, data.val), solo.evaluate(dry, data.val))
    logits = wet.model(data.val.x, keep)
    loss, accuracy = solo.evaluate(wet, data.val).tolist()
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, data.val.y).item(), rel=1e-5)
    right = (logits.argmax(1) == data.val.y).double().mean().item()
    assert accuracy == pytest.approx(right, rel=1e-5)
    x, y = _batch("digits-mlp")
    wet.dropout.at(0, 0)
    assert solo.step(wet, x, y, LR)[0] != solo.step(dry, x, y, LR)[0]


def test_evaluation_in_pieces_is_evaluation_at_once() -> None:
    training, rows = _training(), tasks.get("digits-mlp").data().val
    pieces, once = solo.evaluate(training, rows, chunk=100), solo.evaluate(training, rows)
    torch.testing.assert_close(pieces, once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("batch_size", "batches"),
    [(100, 11), (154, 7), (1078, 1), (5000, 1)],  # 1,078 rows: the last of 11 batches has 78
)
def test_an_epoch_takes_each_row_once(batch_size: int, batches: int) -> None:
    training = _training(batch_size=batch_size)
    data = tasks.get("digits-mlp").data()
    rows = _training().task.loss(training.model(data.train.x, keep), data.train.y)
    assert solo.run_epoch(training, data.train, 1e-12, lambda: False)
    assert len(training.records) == batches
    metrics = solo.measure(training, data, 1e-12)
    assert metrics["train_loss"] == pytest.approx(rows.mean().item(), rel=1e-4)


def test_the_last_batch_is_the_mean_over_its_own_rows() -> None:
    training, small = _training(batch_size=1000), _training()
    train = tasks.get("digits-mlp").data().train
    taken: list[Tensor] = []
    for x, y in train.batches(torch.arange(1078), 1000, CPU):
        taken.append(x)
        last = (x, y)
    assert [len(x) for x in taken] == [1000, 78]
    gradient = _gradient(small, *last)
    before = training.weights.value.clone()
    solo.step(training, *last, LR)
    torch.testing.assert_close(training.weights.value, before - LR * gradient)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_stays_near_float32(precision: str) -> None:
    exact, rough = _training(), _training(precision=precision)
    x, y = _batch("digits-mlp")
    for _ in range(5):
        expected = solo.step(exact, x, y, LR)
        record = solo.step(rough, x, y, LR)
        torch.testing.assert_close(record, expected, rtol=0.05, atol=0.0)
    assert rough.weights.value.dtype == torch.float32
    assert not torch.equal(rough.weights.value, exact.weights.value)


def test_an_overflow_in_fp16_skips_the_step_and_halves_the_scale() -> None:
    training = _training(precision="fp16", optimizer="adam")
    assert training.scale is not None
    x, y = _batch("digits-mlp")
    training.scale.scale.fill_(1e30)  # any gradient overflows
    before = training.weights.value.clone()
    solo.step(training, x, y, LR)
    assert torch.equal(training.weights.value, before)
    assert training.optimizer["steps"] == 0
    assert not training.optimizer["mean"].any()
    assert training.scale.scale == torch.tensor(1e30) / 2
