"""How many threads a slot gets."""

from __future__ import annotations

import os

import pytest

from tuner.worker.agent import _threads


@pytest.mark.parametrize(("named", "threads"), [("1", 1), ("3", 3)])
def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, named: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    assert _threads(1) == threads


@pytest.mark.parametrize("named", ["", "0", "many"])
def test_else_a_slot_gets_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    cores = len(os.sched_getaffinity(0))
    assert _threads(1) == cores
    assert _threads(cores) == 1
    assert _threads(cores * 10) == 1
