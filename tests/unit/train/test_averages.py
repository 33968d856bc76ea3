"""Averages of weights, and steps toward what is harder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from tests.unit.train.trainings import saved, trained, training
from tuner.train import solo, tasks
from tuner.train.adversary import harder_embedding, harder_rows
from tuner.train.average import Average
from tuner.train.models import keep
from tuner.train.weights import Flat


def test_the_average_is_torchs() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    weights = Flat(model)
    ours = Average(model, weights, 0.3)

    def rising(mean: Tensor, now: Tensor, steps: Tensor) -> Tensor:
        decay = min(0.3, (1 + int(steps)) / (10 + int(steps)))
        return now.lerp(mean, decay) if mean.is_floating_point() else now

    theirs = swa_utils.AveragedModel(model, avg_fn=rising, use_buffers=True)  # type: ignore[arg-type]
    for step in range(8):
        weights.value.add_(torch.randn(weights.value.shape))
        model(torch.randn(5, 3) + step)
        ours.update()
        theirs.update_parameters(model)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.randn(4, 3)
    model.eval()
    theirs.eval()
    with ours.applied():
        torch.testing.assert_close(model(x), theirs(x))
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())


def test_the_average_is_what_is_evaluated_and_kept(tmp_path: Path) -> None:
    recipe = {"average": 0.9, "norm": "batch"}
    with_average = trained(tmp_path / "a", recipe=recipe)
    without = trained(tmp_path / "b", recipe={"norm": "batch"})
    for one, other in zip(with_average.reports, without.reports, strict=True):
        assert (
            one.metrics["train_loss"] == other.metrics["train_loss"]
        )  # training goes on as it did
        assert one.metrics["val_loss"] != other.metrics["val_loss"]
    tree = saved(with_average)
    assert set(tree["average"]["mean"]) == {
        "weights", "buffer.hidden.0.norm.running_mean", "buffer.hidden.0.norm.running_var"
    }  # fmt: skip


def test_rows_move_up_their_own_gradient() -> None:
    x, gradient = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [0.0, -0.1], [0.0, 0.0]])
    found = harder_rows(x, gradient, 0.5)
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.4], [0.0, -0.5], [0.0, 0.0]]))


def test_an_embedding_moves_and_comes_back_to_the_bit() -> None:
    weight = torch.randn(3, 2)
    own = weight.clone()
    with harder_embedding(weight, torch.full((3, 2), 1.0), 6.0**0.5):
        torch.testing.assert_close(weight, own + 1.0)
    assert torch.equal(weight, own)


def test_an_adversarial_step_is_half_the_plain_and_half_the_harder_gradient() -> None:
    one, other = training(adversary=0.7), training()
    train = tasks.get("digits-mlp").data().train
    x, y = train.x[:32].clone().requires_grad_(), train.y[:32]
    weights = [p for p in other.model.parameters() if p.requires_grad]
    mean = other.task.loss(other.model(x, keep), y).mean()
    *plain, at_x = torch.autograd.grad(mean, [*weights, x])
    harder = harder_rows(x, at_x, 0.7)
    moved = other.task.loss(other.model(harder, keep), y).mean()
    assert moved > mean
    gradients = zip(plain, torch.autograd.grad(moved, weights), strict=True)
    both = torch.cat([((a + b) / 2).flatten() for a, b in gradients])
    before = one.weights.value.clone()
    losses, _, _ = solo.step(one, train.x[:32], y, 0.05).tolist()
    torch.testing.assert_close(one.weights.value, before - 0.05 * both)
    assert losses == pytest.approx(32 * mean.item(), rel=1e-5)  # of the plain batch


def test_of_a_text_the_embedding_is_made_harder() -> None:
    one, other = training("text-lstm", adversary=2.0), training("text-lstm")
    train = tasks.get("text-lstm").data().train
    x, y = train.x[:8], train.y[:8]
    weights = [p for p in other.model.parameters() if p.requires_grad]
    embedding = other.model.embedding
    assert embedding is not None

    def gradient() -> tuple[float, Tensor, Tensor]:
        mean = other.task.loss(other.model(x, keep), y).mean()
        found = torch.autograd.grad(mean, weights)
        at = next(i for i, weight in enumerate(weights) if weight is embedding)
        return mean.item(), found[at], torch.cat([g.flatten() for g in found])

    plain, along, first = gradient()
    with torch.no_grad():
        embedding.add_(2.0 * along / along.norm())
    harder, _, second = gradient()
    assert harder > plain
    before = one.weights.value.clone()
    solo.step(one, x, y, 0.05)
    torch.testing.assert_close(one.weights.value, before - 0.05 * (first + second) / 2)


def test_the_gradient_is_clipped_by_value_before_its_norm() -> None:
    plain, clipped = training(), training(clip_value=1e-3)
    train = tasks.get("digits-mlp").data().train
    before = clipped.weights.value.clone()
    solo.step(plain, train.x[:32], train.y[:32], 1.0)
    gradient = before - plain.weights.value
    solo.step(clipped, train.x[:32], train.y[:32], 1.0)
    torch.testing.assert_close(
        clipped.weights.value, before - gradient.clamp(-1e-3, 1e-3), atol=1e-6, rtol=1e-5
    )


def test_no_units_weights_are_longer_than_max_norm() -> None:
    limited = training(max_norm=0.5)
    train = tasks.get("digits-mlp").data().train
    bias = limited.model.get_parameter("hidden.0.map.bias").clone()
    solo.step(limited, train.x[:32], train.y[:32], 1.0)
    for name, weight in limited.model.named_parameters():
        if weight.ndim == 2:
            assert torch.linalg.vector_norm(weight, dim=1).max().item() <= 0.5 + 1e-6, name
    assert not torch.equal(limited.model.get_parameter("hidden.0.map.bias"), bias)
