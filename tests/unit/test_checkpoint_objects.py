"""Objects get back the state they were saved with, or a sentence that says why not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import swa_utils
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from tuner.checkpoint import restore, save
from tuner.errors import InvalidInput


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.outer = nn.Linear(3, 3, bias=False)
        self.outer.weight = self.inner.weight
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.outer(self.norm(self.inner(x)))
        return y


def again(tmp_path: Path, saved: Any, target: Any) -> Any:
    save(tmp_path / "a", 1, {"it": saved})
    assert restore(tmp_path / "a", 1, {"it": target}) == {}
    return target


def train(model: nn.Module, optimizer: Any, steps: int = 3) -> list[float]:
    losses = []
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        x = torch.randn(8, 3, generator=generator)

        def closure(x: torch.Tensor = x) -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = model(x).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        losses.append(optimizer.step(closure).item())
    return losses


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "AdamW-tensor": lambda p: torch.optim.AdamW(p, torch.tensor(0.01), foreach=False),
    "Adam-fused": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "Adamax": lambda p: torch.optim.Adamax(p, 0.01),
    "Adagrad": lambda p: torch.optim.Adagrad(p, 0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p, 1.0),
    "Adafactor": lambda p: torch.optim.Adafactor(p, 0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9, centered=True),
    "Rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, 0.01),
    "RAdam": lambda p: torch.optim.RAdam(p, 0.01),
    "ASGD": lambda p: torch.optim.ASGD(p, 0.01),
    "LBFGS": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3, line_search_fn="strong_wolfe"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_as_it_was(name: str, tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer)
    save(tmp_path / "a", 1, {"model": model, "optimizer": optimizer})
    resumed = OPTIMIZERS[name](other.parameters())
    restore(tmp_path / "a", 1, {"model": other, "optimizer": resumed})
    assert train(model, optimizer) == train(other, resumed)
    for mine, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.filterwarnings("ignore")  # torch.compile loads what torch has deprecated
def test_a_module_inside_a_wrapper_is_the_same_module(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    again(tmp_path, nn.DataParallel(model), torch.compile(other))
    assert torch.equal(model.inner.weight, other.inner.weight)


def test_an_average_of_weights(tmp_path: Path) -> None:
    model = Tied()
    keep: Any = swa_utils.get_ema_multi_avg_fn(0.9)  # type: ignore[no-untyped-call]
    average = swa_utils.AveragedModel(model, multi_avg_fn=keep)
    for _ in range(2):
        train(model, torch.optim.SGD(model.parameters(), 0.1))
        average.update_parameters(model)
    found = again(tmp_path, average, swa_utils.AveragedModel(Tied()))
    for mine, theirs in zip(average.parameters(), found.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert int(found.n_averaged) == 2


def test_a_grad_scaler(tmp_path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    scaler.scale(torch.ones(1))
    found = again(tmp_path, scaler, torch.amp.GradScaler("cpu"))
    assert found.get_scale() == 64.0


GENERATORS: dict[str, tuple[Callable[[int], Any], Callable[[Any], Any]]] = {
    "torch": (lambda s: torch.Generator().manual_seed(s), lambda g: torch.rand(3, generator=g)),
    "numpy": (np.random.default_rng, lambda g: g.random(3)),
    "philox": (lambda s: np.random.Generator(np.random.Philox(s)), lambda g: g.random(3)),
    "old numpy": (np.random.RandomState, lambda g: g.randn(3)),
    "python": (random.Random, lambda g: g.gauss(0, 1)),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator(name: str, tmp_path: Path) -> None:
    make, draw = GENERATORS[name]
    first, second = make(1), make(2)
    draw(first)
    again(tmp_path, first, second)
    assert np.array_equal(draw(first), draw(second))


def test_objects_in_lists_and_dicts(tmp_path: Path) -> None:
    models = [nn.Linear(2, 2), nn.Linear(3, 3)]
    save(tmp_path / "a", 1, {"models": models, "by_name": {"rng": random.Random(1)}})
    others, rng = [nn.Linear(2, 2), nn.Linear(3, 3)], random.Random(2)
    restore(tmp_path / "a", 1, {"models": others, "by_name": {"rng": rng}})
    assert torch.equal(models[1].weight, others[1].weight)
    assert rng.random() == random.Random(1).random()


def order(loader: Any) -> list[Any]:
    return [batch[0].tolist() for batch in loader]


def loader_of(kind: str) -> Any:
    rows = TensorDataset(torch.arange(10))
    if kind == "distributed":
        sampler: Any = DistributedSampler(rows, num_replicas=2, rank=0, seed=3)
        return DataLoader(rows, batch_size=2, sampler=sampler)
    return DataLoader(rows, batch_size=2, shuffle=True, generator=torch.Generator())


@pytest.mark.parametrize("kind", ["shuffled", "distributed"])
def test_a_loader_goes_on_with_the_next_epochs_order(kind: str, tmp_path: Path) -> None:
    loader, other = loader_of(kind), loader_of(kind)
    if kind == "distributed":
        loader.sampler.set_epoch(4)
    order(loader)
    again(tmp_path, loader, other)
    assert order(loader) == order(other)


def test_the_streams_of_the_process_go_on(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.random()), float(torch.rand(()))]

    save(tmp_path / "a", 1, {})
    first = draw()
    draw()
    restore(tmp_path / "a", 1, {})
    assert draw() == first


def test_each_rank_gets_its_own_streams_back(tmp_path: Path) -> None:
    first = random.getstate()
    random.random()
    second = random.getstate()
    states = [{"python": first}, {"python": second}]
    save(tmp_path / "a", 1, {}, random=states)
    for rank, state in enumerate((first, second)):
        restore(tmp_path / "a", 1, {}, rank=rank)
        assert random.getstate() == state
    random.seed(9)
    here = random.getstate()
    restore(tmp_path / "a", 1, {}, rank=2)  # more processes than there were
    assert random.getstate() == here


class Renamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.innner = nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("saved", "target", "why"),
    [
        ({"model": nn.Linear(1, 1)}, {"modle": nn.Linear(1, 1)}, "no 'modle'.* 'model'; it holds"),
        ({"model": nn.Linear(1, 1)}, {}, r"which no argument takes: restore\(model=\.\.\.\)"),
        ({"model": nn.Linear(1, 1)}, {"model": random.Random()}, "module; this is a random.Random"),
        ({"model": nn.Linear(1, 1)}, {"model": 3}, "module; this is a int"),
        ({"model": Tied()}, {"model": Renamed()}, "no 'innner.weight'; the nearest name is 'inner"),
        (
            {"model": nn.Linear(1, 1)},
            {"model": nn.Linear(1, 1, bias=False)},
            "'bias', which is not",
        ),
        ({"model": nn.Linear(1, 1)}, {"model": nn.Linear(1, 2)}, "size mismatch for weight"),
        ({"best": 1.5}, {"best": 0.0}, r"as \.state\['best'\]"),
        ({"both": [random.Random()]}, {"both": []}, "list of other length"),
        (
            {"rng": np.random.default_rng()},
            {"rng": np.random.Generator(np.random.Philox())},
            "does not fit",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    saved: dict[str, Any], target: dict[str, Any], why: str, tmp_path: Path
) -> None:
    save(tmp_path / "a", 1, saved)
    with pytest.raises(InvalidInput, match=why):
        restore(tmp_path / "a", 1, target)


@pytest.mark.parametrize("sizes", [[(3, 2)], [(2, 3), (3, 1)]])
def test_an_optimizer_of_other_parameters_is_refused(
    sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    model = nn.Linear(3, 3)
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    others = torch.optim.Adam([nn.Parameter(torch.zeros(size)) for size in sizes])
    save(tmp_path / "a", 1, {"optimizer": optimizer})
    with pytest.raises(InvalidInput, match="what was saved as optimizer does not fit"):
        restore(tmp_path / "a", 1, {"optimizer": others})
