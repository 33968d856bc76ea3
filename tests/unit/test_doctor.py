"""`tuner doctor gradcheck` on code of one's own, and what names and shapes it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tuner.cli.app import app
from tuner.cli.exits import NO_SUCCESS
from tuner.errors import InvalidInput
from tuner.torch.checking import check, random_input

CODE = """
import torch
from torch import nn

class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 3 * grad

class Net(nn.Module):
    def __init__(self, width=2, wrong=False):
        super().__init__()
        self.map, self.wrong = nn.Linear(3, width), wrong

    def forward(self, x):
        out = self.map(x)
        return Twice.apply(out) if self.wrong else 2 * out

def make(width):
    return Net(width)

def square(x):
    return x ** 2

net = Net()
number = 3
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_network.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("code")
def test_a_wrong_module_fails_and_says_where() -> None:
    given = ["doctor", "gradcheck", "own_network:Net", "--input", "4x3", "--with"]
    right = CliRunner().invoke(app, [*given, '{"width": 5}'])
    assert right.exit_code == 0, right.output
    assert "15 of 15 entries agree" in right.output
    wrong = CliRunner().invoke(app, [*given, '{"wrong": true}'])
    assert wrong.exit_code == NO_SUCCESS
    assert wrong.output.count("WRONG") == 3
    assert "1.5 times as much" in wrong.output
    found = CliRunner().invoke(app, [*given, '{"wrong": true}', "--json"])
    (weight, *_) = json.loads(found.stdout)
    assert (weight["name"], weight["wrong"]) == ("map.weight", 6)
    assert weight["analytic"] == pytest.approx(1.5 * weight["numeric"], rel=1e-4)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize(
    ("target", "arguments", "right"),
    [
        ("own_network:Net", {}, [True, True, True]),
        ("own_network:make", {"width": 4}, [True, True, True]),
        ("own_network:net", {}, [True, True, True]),
        ("own_network:square", {}, [True]),
        ("own_network:Twice", {}, [False]),
    ],
)
def test_what_can_be_named(target: str, arguments: dict[str, int], right: list[bool]) -> None:
    assert [c.right for c in check(target, ["4x3"], arguments)] == right


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize(
    ("target", "shape", "said"),
    [
        ("own_network", "4x3", "is not written"),
        ("own_network:Nit", "4x3", "Nit"),
        ("no_such_module:Net", "4x3", "no_such_module"),
        ("own_network:number", "4x3", "is no module"),
        ("own_network:Net", "4x4", "fails on inputs 4x4"),
        ("own_network:Net", "4,3", "is no shape"),
    ],
)
def test_what_cannot_is_refused_in_words(target: str, shape: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check(target, [shape])


def test_shapes() -> None:
    draw = torch.Generator().manual_seed(0)
    assert random_input("4x10", draw).shape == (4, 10)
    whole = random_input("50:7", draw)
    assert whole.dtype == torch.int64
    assert set(whole.tolist()) == set(range(7))
