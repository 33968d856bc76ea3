"""What a step minimises, and how far it goes: by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.train.trainings import CPU, training
from tuner.train import TASKS, critic, solo, tasks, vae
from tuner.train.engine import Setting
from tuner.train.models import Staged, keep
from tuner.train.recipe import Recipe

NEVER = False


def _moved(epoch: int = 0, steps: int = 8, **recipe: Any) -> Tensor:
    """Return the change of the weights by an epoch that is one batch."""
    one = training(batch_size=2000, **recipe)
    one.epoch, one.steps = epoch, steps
    before = one.weights.value.clone()
    assert solo.run_epoch(one, tasks.get("digits-mlp").data().train, 0.1, lambda: NEVER)
    return one.weights.value - before


@pytest.mark.parametrize(
    ("recipe", "epoch", "factor"),
    [
        ({"schedule": "exponential", "gamma": 0.5}, 2, 0.25),
        ({"schedule": "milestones", "milestones": "0.25", "gamma": 0.1}, 2, 0.1),
        ({"schedule": "cosine"}, 4, 0.5),
        ({"schedule": "linear", "lr_floor": 0.2}, 4, 0.6),
        ({"schedule": "cyclic", "cycle": 2}, 3, 0.5),
        ({"warmup": 4.0}, 2, 0.505),
    ],
)
def test_a_schedule_scales_the_step(recipe: dict[str, Any], epoch: int, factor: float) -> None:
    plain, scaled = _moved(epoch), _moved(epoch, **recipe)
    torch.testing.assert_close(scaled, factor * plain, rtol=1e-3, atol=1e-7)


def test_below_the_flood_a_step_goes_up() -> None:
    torch.testing.assert_close(_moved(flooding=100.0), -_moved(), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(_moved(flooding=0.01), _moved(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("task", "depth", "stage"), [("digits-mlp", 2, 1), ("digits-cnn", 3, 2)])
def test_a_skip_goes_around_layers_that_keep_their_shape(task: str, depth: int, stage: int) -> None:
    plain, skipping = (training(task, depth=depth, skip=skip).model for skip in (False, True))
    x = tasks.get(task).data().val.x[:5]
    inputs = plain.between(x, 0, stage, keep)
    torch.testing.assert_close(skipping.between(x, 0, stage, keep), inputs)
    layer = plain.stage(stage, inputs, keep)
    torch.testing.assert_close(skipping.stage(stage, inputs, keep), inputs + layer)


@pytest.mark.parametrize("task", tasks.names())
def test_dropout_stands_before_the_last_layer(task: str) -> None:
    model: Staged = training(task).model
    x = tasks.get(task).data().val.x[:5]
    found = model(x, torch.zeros_like)
    bias = model.layers()[-1].get_parameter("bias")
    with torch.no_grad():
        bias.add_(torch.arange(1.0, len(bias) + 1))
    moved = model(x, torch.zeros_like)
    shape = (1, -1, *[1] * (found.ndim - 2)) if found.ndim > 1 else (-1,)
    torch.testing.assert_close(moved, bias.view(shape).expand_as(moved))


def test_the_first_weights_are_those_of_the_recipe() -> None:
    one, half = (training("text-lstm", init_scale=scale).model for scale in (1.0, 0.5))
    open_ = training("text-lstm", forget_bias=3.0, width=16).model
    for name, weight in one.named_parameters():
        torch.testing.assert_close(
            half.get_parameter(name), weight / (1 if "bias" in name else 2), rtol=1e-6, atol=0
        )
    gates = open_.get_parameter("lstm.bias_ih_l0")
    assert gates.tolist() == [0.0] * 16 + [3.0] * 16 + [0.0] * 32


def _setting(task: str, **recipe: Any) -> Setting:
    info = TASKS[task]
    plain = {"optimizer": "sgd", "clip_norm": 1e9, "batch_size": 50} | recipe
    whole = Recipe.from_params({}, info.defaults, plain)
    return Setting(info=info, recipe=whole, seed=1, device=CPU, precision="fp32", steps=4)


def _change(engine: Any, network: str) -> Tensor:
    """Return the change of a network's weights by one step."""
    weights = engine.updaters[network].weights.value
    before = weights.clone()
    engine.step(0, 0.01)
    found: Tensor = weights - before
    return found


def test_the_divergence_of_codes_counts_with_its_weight() -> None:
    none, one, two = (
        _change(vae.start(_setting("digits-vae", kl_weight=weight)), "model")
        for weight in (0.0, 1.0, 2.0)
    )
    assert (one - none).norm() > 0
    torch.testing.assert_close(two - none, 2 * (one - none), rtol=1e-3, atol=1e-6)


def test_the_slope_s_penalty_counts_with_its_weight() -> None:
    none, one, two = (
        _change(critic.start(_setting("digits-critic", penalty=weight, critic_steps=1)), "critic")
        for weight in (0.0, 5.0, 10.0)
    )
    assert (one - none).norm() > 0
    torch.testing.assert_close(two - none, 2 * (one - none), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_critic_takes_several_steps_for_one_of_the_generator(steps: int) -> None:
    engine = critic.start(_setting("digits-critic", critic_steps=steps, optimizer="adam"))
    engine.step(0, 0.001)
    taken = {name: int(updater.optimizer["steps"]) for name, updater in engine.updaters.items()}
    assert taken == {"generator": 1, "critic": steps}


def test_what_a_generator_minimises() -> None:
    judged = torch.tensor([0.0, math.log(3)])  # to a plain critic: real by 1/2 and 3/4
    assert critic.generator_loss(judged, plain=False).item() == pytest.approx(-math.log(3) / 2)
    expected = -(math.log(1 / 2) + math.log(3 / 4)) / 2
    assert critic.generator_loss(judged, plain=True).item() == pytest.approx(expected)
