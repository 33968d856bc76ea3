from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.spec.recipe_values import ActivationName, NormName
from tuner.train import models
from tuner.train.init import initialise, rule_of
from tuner.train.layers import ACTIVATIONS, NORMS, Layer, SoftThreshold
from tuner.train.models import keep
from tuner.train.recipe import Network

ROWS = torch.randn(6, 8, 4, 4, generator=torch.Generator().manual_seed(0))


def test_every_name_has_its_part() -> None:
    assert set(ACTIVATIONS) == set(get_args(ActivationName))
    assert {*NORMS, "none", "spectral"} == set(get_args(NormName))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0.0, 0.0, 2.0]),
        ("leaky_relu", [-0.01, 0.0, 2.0]),
        ("elu", [-0.6321, 0.0, 2.0]),  # 1/e - 1
        ("selu", [-1.1113, 0.0, 2.1014]),  # Klambauer et al. 2017: 1.0507 and 1.6733
        ("tanh", [-0.7616, 0.0, 0.9640]),
        ("sigmoid", [0.2689, 0.5, 0.8808]),
    ],
)
def test_activations(name: str, expected: list[float]) -> None:
    found = ACTIVATIONS[name](3)(torch.tensor([[-1.0, 0.0, 2.0]]))
    assert found[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_soft_threshold_shrinks_by_a_share_of_the_rows_mean_size() -> None:
    part = SoftThreshold(3)
    nn.init.zeros_(part.share)  # a share of a half; the row's mean size is 2
    found = part(torch.tensor([[-0.5, 1.5, -4.0]]))
    assert found[0].tolist() == pytest.approx([0.0, 0.5, -3.0])
    found.sum().backward()
    assert part.share.grad is not None
    assert part.share.grad.count_nonzero() == 2  # what vanished learns nothing


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("batch", lambda x: F.batch_norm(x, None, None, training=True)),
        ("group", lambda x: F.group_norm(x, 4)),
        ("layer", lambda x: F.layer_norm(x, x.shape[1:])),
        ("instance", F.instance_norm),
    ],
)
def test_norms_are_torchs(name: str, theirs: Any) -> None:
    torch.testing.assert_close(NORMS[name](8, 4)(ROWS), theirs(ROWS))


def test_a_batch_of_one_row_takes_the_running_statistics() -> None:
    norm = NORMS["batch"](8, 1)
    row = torch.full((1, 8), 3.0)
    torch.testing.assert_close(norm(row), row, rtol=1e-4, atol=0)  # mean 0, variance 1 at first
    assert norm.get_buffer("running_mean").eq(0).all()


def test_spectral_norm_makes_the_largest_singular_value_1() -> None:
    layer = Layer(nn.Linear(8, 8), 8, Network(norm="spectral", activation="tanh"), skip=False)
    for seed in (1, 1):
        torch.manual_seed(seed + 10)  # torch's own stream plays no part
        initialise(layer, "he", 3.0, torch.Generator().manual_seed(seed))
    layer.eval()
    weight = layer.map.weight
    assert isinstance(weight, torch.Tensor)
    assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1.0, rel=0.02)


def test_spectral_norm_follows_from_the_seed() -> None:
    found = []
    for other in (1, 2):
        torch.manual_seed(other)
        model = models.Mlp(Network(norm="spectral"))
        initialise(model, "he", 1.0, torch.Generator().manual_seed(5))
        found.append(model.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_skip_adds_the_input() -> None:
    plain = Layer(nn.Linear(4, 4), 4, Network(), skip=False)
    with_skip = Layer(nn.Linear(4, 4), 4, Network(), skip=True)
    with_skip.load_state_dict(plain.state_dict())
    x = torch.randn(3, 4)
    torch.testing.assert_close(with_skip(x), x + plain(x))


@pytest.mark.parametrize("norm", ["none", *NORMS, "spectral"])
@pytest.mark.parametrize(("width", "depth"), [(None, None), (8, 1), (24, 4)])
def test_networks_of_all_shapes(norm: str, width: int | None, depth: int | None) -> None:
    network = Network(width=width, depth=depth, norm=norm, skip=True, activation="elu")
    nets: list[tuple[models.Staged, torch.Tensor]] = [
        (models.Cnn(network), torch.randn(3, 1, 8, 8))
    ]
    if norm != "instance":
        nets.append((models.Mlp(network), torch.randn(3, 64)))
    for model, x in nets:
        model.train()
        assert model(x, keep).shape == (3, 10)
        assert len(model.layers()) == (depth or (2 if x.ndim == 4 else 1)) + 1
        model.eval()
        middle = model.between(x, 0, 1, keep)
        assert torch.equal(model(middle, keep, 1), model(x, keep))


def test_lstm_of_two_layers() -> None:
    model = models.Lstm(Network(width=16, depth=2, norm="layer"))
    initialise(model, "lecun", 1.0, torch.Generator().manual_seed(0), forget_bias=3.0)
    assert model(torch.randn(5, 20, 2), keep).shape == (5,)
    for layer in (0, 1):
        total = model.lstm.get_parameter(f"bias_ih_l{layer}")
        assert total.tolist() == [0.0] * 16 + [3.0] * 16 + [0.0] * 32
        assert not model.lstm.get_parameter(f"bias_hh_l{layer}").requires_grad


@pytest.mark.parametrize(
    ("rule", "activation", "recurrent", "expected"),
    [
        ("by_activation", "relu", False, "he"),
        ("by_activation", "elu", False, "he"),
        ("by_activation", "selu", False, "lecun"),
        ("by_activation", "tanh", False, "xavier"),
        ("by_activation", "relu", True, "xavier"),  # an LSTM has sigmoid and tanh
        ("lecun", "relu", False, "lecun"),
    ],
)
def test_rule_by_activation(rule: str, activation: str, recurrent: bool, expected: str) -> None:
    assert rule_of(rule, activation, recurrent=recurrent) == expected


def test_small_weights_are_a_fiftieth() -> None:
    layer = nn.Linear(400, 300)
    initialise(layer, "small", 1.0, torch.Generator().manual_seed(0))
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_weights_of_versions_before_are_renamed() -> None:
    old = {"hidden.weight": torch.ones(1), "conv2.bias": torch.ones(1), "out.bias": torch.ones(1)}
    assert [*models.renamed(old)] == ["hidden.0.map.weight", "convs.1.map.bias", "out.bias"]
