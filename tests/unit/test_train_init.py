from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tuner.train import models, tasks
from tuner.train.init import base_std, initialise

SCALE = 0.7


def _drawn(model: nn.Module, rule: str = "lecun", seed: int = 0) -> nn.Module:
    initialise(model, rule, SCALE, torch.Generator().manual_seed(seed))
    return model


def _assert_std(weight: Tensor, expected: float) -> None:
    """Check a sample standard deviation within 4 of its own: expected / sqrt(2 n)."""
    measured = weight.detach().double().square().mean().sqrt().item()
    assert abs(measured - expected) < 4 * expected / math.sqrt(2 * weight.numel())


@pytest.mark.parametrize(
    ("model", "name", "fan_in"),
    [
        (models.Mlp(), "hidden.0.map.weight", 64),
        (models.Mlp(), "out.weight", 64),
        (models.Cnn(), "convs.0.map.weight", 1 * 3 * 3),
        (models.Cnn(), "convs.1.map.weight", 16 * 3 * 3),
        (models.Cnn(), "out.weight", 128),
        (models.Lstm(), "lstm.weight_ih_l0", 2),
        (models.Lstm(), "lstm.weight_hh_l0", 32),
        (models.Lstm(), "out.weight", 32),
        (nn.Linear(400, 300), "weight", 400),
        (nn.Conv2d(30, 40, (5, 3)), "weight", 30 * 5 * 3),
        (nn.LSTM(50, 60), "weight_ih_l0", 50),
        (nn.LSTM(50, 60), "weight_hh_l0", 60),
    ],
)
def test_std_is_init_scale_over_the_root_of_fan_in(
    model: nn.Module, name: str, fan_in: int
) -> None:
    weight = dict(_drawn(model).named_parameters())[name]
    _assert_std(weight, SCALE / math.sqrt(fan_in))


@pytest.mark.parametrize(
    ("weight", "gates", "rule", "variance"),
    [
        (torch.empty(300, 100), 1, "lecun", 1 / 100),
        (torch.empty(300, 100), 1, "he", 2 / 100),
        (torch.empty(300, 100), 1, "xavier", 2 / (100 + 300)),
        (torch.empty(20, 10, 3, 3), 1, "xavier", 2 / (10 * 9 + 20 * 9)),
        (torch.empty(4 * 32, 8), 4, "xavier", 2 / (8 + 32)),  # each gate is a layer of 32
        (torch.empty(4 * 32, 8), 4, "he", 2 / 8),
    ],
)
def test_named_rules(weight: Tensor, gates: int, rule: str, variance: float) -> None:
    assert base_std(rule, weight, gates=gates) == pytest.approx(math.sqrt(variance))


def test_named_rules_agree_with_torch() -> None:
    weight, drawn = torch.empty(200, 300), nn.Linear(300, 200)
    nn.init.xavier_normal_(weight, generator=torch.Generator().manual_seed(1))
    _assert_std(weight, base_std("xavier", weight))
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=torch.Generator().manual_seed(1))
    _assert_std(weight, base_std("he", weight))
    _assert_std(_drawn(drawn, "he").get_parameter("weight"), SCALE * math.sqrt(2 / 300))


@pytest.mark.parametrize("task", ["digits-mlp", "digits-cnn"])
def test_biases_are_0(task: str) -> None:
    for name, parameter in _drawn(tasks.get(task).model()).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()


def test_forget_gate_bias_is_1_and_the_others_0() -> None:
    model = _drawn(models.Lstm())
    total = model.get_parameter("lstm.bias_ih_l0") + model.get_parameter("lstm.bias_hh_l0")
    assert total.tolist() == [0.0] * 32 + [1.0] * 32 + [0.0] * 64


def test_forget_gate_bias_of_each_layer_and_direction() -> None:
    lstm = nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    _drawn(lstm)
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        total = lstm.get_parameter(f"bias_ih_{suffix}") + lstm.get_parameter(f"bias_hh_{suffix}")
        assert total.tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10


def test_gains_of_a_normalisation_stay_1() -> None:
    norm = nn.LayerNorm(7)
    _drawn(norm)
    assert norm.weight.tolist() == [1.0] * 7


def test_same_seed_same_weights() -> None:
    first, again, other = (_drawn(models.Mlp(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.get_parameter("out.weight"), again.get_parameter("out.weight"))
    assert not torch.equal(first.get_parameter("out.weight"), other.get_parameter("out.weight"))


@pytest.mark.parametrize(
    ("task", "weights"), [("digits-mlp", 4810), ("digits-cnn", 6090), ("adding-lstm", 4513)]
)
def test_number_of_trained_weights(task: str, weights: int) -> None:
    parameters = tasks.get(task).model().parameters()
    assert sum(p.numel() for p in parameters if p.requires_grad) == weights
