"""How the benchmark of bookkeeping judges what it measured."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.rates.cpu import trees
from benchmarks.rates.lines import Goal, Line, of
from benchmarks.rates.load import quantiles
from benchmarks.rates.study import STEPS, value


@pytest.mark.parametrize(
    ("goal", "figure", "verdict"),
    [
        (Goal(least=25, floor=15), 25.0, "met"),
        (Goal(least=25, floor=15), 24.9, "above the floor"),
        (Goal(least=25, floor=15), 15.0, "above the floor"),
        (Goal(least=25, floor=15), 14.9, "NOT met"),
        (Goal(least=0.8), 0.79, "NOT met"),
        (Goal(most=4), 4.0, "met"),
        (Goal(most=4), 4.1, "NOT met"),
    ],
)
def test_verdicts(goal: Goal, figure: float, verdict: str) -> None:
    assert goal.verdict(figure) == verdict


@pytest.mark.parametrize(
    ("cost", "goal", "ratio", "verdict"),
    [
        # Ratios of the rounds are 4, 2 and 3: their median is not the ratio of the medians, 2.5.
        (False, Goal(least=3), 3.0, "met"),
        (False, Goal(least=3.1), 3.0, "NOT met"),
        (False, Goal(on="ours", least=20), 3.0, "met"),
        (True, None, 1 / 3, ""),
    ],
)
def test_a_ratio_is_the_median_of_the_rounds_own(
    cost: bool, goal: Goal | None, ratio: float, verdict: str
) -> None:
    rounds = [{"a": {"x": a}, "b": b} for a, b in ((8, 2), (20, 10), (30, 10))]
    line = Line(
        group="", name="", unit="", ours=of("a", "x"), peer=of("b"), peer_name="b",
        goal=goal, cost=cost,
    )  # fmt: skip
    found = line.worked_out(rounds)
    assert (found["ours"], found["peer"]) == (20, 10)
    assert found["ratio"] == pytest.approx(ratio)
    assert found["verdict"] == verdict


def test_quantiles_are_in_milliseconds() -> None:
    seconds = [i / 1000 for i in range(101, 0, -1)]
    assert quantiles(seconds) == pytest.approx({"p50": 51, "p99": 100, "max": 101})


def test_later_values_are_better_at_each_step() -> None:
    first = [value(step) for step in range(1, STEPS + 1)]
    later = [value(step) for step in range(1, STEPS + 1)]
    assert first == sorted(first, reverse=True)
    assert all(b < a for a, b in zip(first, later, strict=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_cpu_time_of_reaped_children_counts() -> None:
    before = trees({"own": os.getpid()})["own"]
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert trees({"own": os.getpid()})["own"] - before >= 0.25
