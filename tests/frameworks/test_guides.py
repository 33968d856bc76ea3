"""The code of the guides runs word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tuner.train.local import LocalTrial

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
MODULES = ("lightning", "transformers", "keras")

# The frameworks warn of parts of torch that they use, and of few rows.
pytestmark = pytest.mark.filterwarnings("ignore")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (GUIDES / page).read_text(), re.M | re.S)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")


def check(main: Any) -> None:
    first = LocalTrial(params={"lr": 0.01}, seed=4, steps=2)
    main(first)
    assert [report.step for report in first.reports] == [1, 2]
    again = LocalTrial(params={"lr": 0.01}, seed=4, steps=3, resume=first.checkpoints[-1])
    main(again)
    assert [report.step for report in again.reports] == [3]


def test_plain_torch(capsys: pytest.CaptureFixture[str]) -> None:
    training, by_hand = blocks("torch.md")
    names: dict[str, Any] = {}
    exec(compile(training, "torch.md", "exec"), names)
    check(names["main"])
    exec(compile(by_hand, "torch.md", "exec"), names)
    assert len(capsys.readouterr().out.split(",")) == 3


@pytest.mark.parametrize("number", range(3), ids=MODULES)
def test_a_framework(number: int) -> None:
    pytest.importorskip(MODULES[number], reason="the extra `frameworks` is not installed")
    names: dict[str, Any] = {}
    exec(compile(blocks("frameworks.md")[number], "frameworks.md", "exec"), names)
    check(names["main"])


def test_there_is_a_block_for_each() -> None:
    assert len(blocks("frameworks.md")) == len(MODULES)
