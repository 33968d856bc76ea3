"""What a watch measures, beside the same numbers by hand; and that it changes nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.text import MetricName
from tuner.torch import Watch
from tuner.torch.watch import LayerProbe, layers_of


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 2))


def rows(count: int = 16) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(rows()).square().mean().backward()
        optimizer.step()


def test_a_step_by_hand() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Watch(model, optimizer)
    before = copy.deepcopy(model)
    train(model, optimizer, 1)
    found = watch.metrics()
    assert list(found) == [
        "grad_norm", "update_ratio", "layer/0/grad", "layer/0/update", "layer/3/grad",
        "layer/3/update", "layer/0/var", "layer/3/var", "layer/1/dead",
    ]  # fmt: skip
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.cat([g.reshape(-1) for g in grads]))
    weights = torch.cat([p.detach().reshape(-1) for p in before.parameters()])
    assert found["grad_norm"] == pytest.approx(float(norm), rel=1e-5)
    assert found["update_ratio"] == pytest.approx(float(0.1 * norm / weights.norm()), rel=1e-4)
    first = before[0]
    assert isinstance(first, nn.Linear)
    hidden = first(rows()).detach()
    assert found["layer/0/var"] == pytest.approx(float(hidden.var()), rel=1e-5)
    dead = float((hidden.relu() > 0).any(0).logical_not().float().mean())
    assert found["layer/1/dead"] == pytest.approx(dead)


def test_units_that_answer_to_no_row_are_dead() -> None:
    model = network()
    first = model[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.bias.copy_(torch.tensor([-100.0] * 6 + [100.0] * 2))
    watch = Watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.0))
    train(model, optimizer, 1)
    assert watch.metrics()["layer/1/dead"] == pytest.approx(0.75)


def test_channels_and_units_of_sequences() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU())
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(1.0)
        model.get_parameter("0.bias").copy_(torch.tensor([-9.0, -9.0, -9.0, 9.0]))
    probe = LayerProbe(model)
    with probe.on():
        model(torch.rand(2, 1, 3, 3))
    assert float(probe.read()["layer/1/dead"]) == pytest.approx(0.75)
    relu = nn.Sequential(nn.ReLU())
    probe = LayerProbe(relu)
    with probe.on():
        relu(torch.tensor([[[-1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]]]))
    assert float(probe.read()["layer/0/dead"]) == pytest.approx(0.5)
    assert not probe.read()


def test_only_every_so_many_steps_are_measured() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Watch(model, optimizer, every=3)
    train(model, optimizer, 7)
    assert len(watch._measured) == 3
    assert watch.metrics()
    assert watch.metrics() == {}
    train(model, optimizer, 1)
    assert watch.metrics()


def test_a_watch_changes_nothing_and_rows_of_evaluation_are_none_of_its_business() -> None:
    plain, watched = network(), network()
    ends = []
    for model in (plain, watched):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        watch = Watch(model, optimizer, every=1) if model is watched else None
        train(model, optimizer, 3)
        model.eval()
        model(rows() * 1e6)
        model.train()
        if watch is not None:
            assert watch.metrics()["layer/0/var"] < 1e3
            watch.detach()
            train(model, optimizer, 2)
            assert watch.metrics() == {}
        else:
            train(model, optimizer, 2)
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_of_many_layers_the_first_the_last_and_some_between_are_told() -> None:
    deep = nn.Sequential(*[nn.Linear(2, 2) for _ in range(30)])
    names = list(layers_of(deep, 5))
    assert names == ["0", "7", "14", "22", "29"]


def test_recurrent_parametrized_and_held_layers() -> None:
    model = nn.ModuleDict(
        {
            "a": nn.LSTM(2, 3),
            "b": torch.nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
            "c": nn.Linear(3, 3).requires_grad_(False),
        }
    )
    assert list(layers_of(model)) == ["a", "b"]


def test_a_model_that_is_not_trained_is_refused() -> None:
    model = network().requires_grad_(False)
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1)
    with pytest.raises(InvalidInput, match="trained"):
        Watch(model, optimizer)


def test_layers_of_any_name_can_be_reported() -> None:
    model = nn.ModuleDict({"weiß <1>": nn.Linear(3, 3), "long" * 40: nn.Linear(3, 2)})
    one, other = model.values()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Watch(model, optimizer)
    other(one(rows())).square().mean().backward()
    optimizer.step()
    found = watch.metrics()
    assert {"layer/wei___1_/grad", f"layer/{'long' * 20}/update"} <= set(found)
    names = TypeAdapter(list[MetricName])
    assert names.validate_python(list(found)) == list(found)
