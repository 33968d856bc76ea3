"""Warm restarts against torch's scheduler, and what the rule tells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from tests.unit.histories import History, curve, is_storable, study, trial
from tuner.policies import restarts, steer
from tuner.spec import WarmRestarts
from tuner.trial import EventKind, Report


def make(**settings: Any) -> WarmRestarts:
    return WarmRestarts(name="warm_restarts", **settings)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        # a cosine from 1 to the floor: 1/4, 1/2 and 3/4 of the way in time, then from the start
        (
            {"period": 4, "growth": 1, "floor": 0.2},
            [1, 0.2 + 0.8 * (2 + 2**0.5) / 4, 0.6, 0.2 + 0.8 * (2 - 2**0.5) / 4, 1],
        ),
        # the second cycle is twice as long: its middle is two steps in
        ({"period": 2, "growth": 2, "floor": 0.5}, [1, 0.75, 1, None, 0.75, None, 1]),
        # each peak at half of the one before
        ({"period": 2, "growth": 1, "floor": 0.5, "peak": 0.5}, [1, 0.75, 0.5, 0.375, 0.5]),
    ],
)
def test_levels(settings: dict[str, Any], levels: list[float | None]) -> None:
    policy = make(**settings)
    found = [restarts.level(policy, step) for step in range(len(levels))]
    for level, expected in zip(found, levels, strict=True):
        assert expected is None or level == pytest.approx(expected, abs=1e-12)


@given(
    st.integers(1, 40), st.integers(1, 4), st.floats(1e-4, 1, allow_nan=False), st.integers(1, 300)
)
def test_levels_equal_torch(period: int, growth: int, floor: float, steps: int) -> None:
    if period == growth == 1:
        return
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = CosineAnnealingWarmRestarts(optimizer, period, growth, eta_min=floor)
    policy = make(period=period, growth=growth, floor=floor)
    optimizer.step()
    for step in range(1, steps + 1):
        scheduler.step()
        rate = optimizer.param_groups[0]["lr"]
        assert restarts.level(policy, step) == pytest.approx(rate, abs=1e-9)


@given(
    st.integers(2, 1000),
    st.integers(1, 10),
    st.floats(1e-6, 1),
    st.floats(1e-6, 1),
    st.integers(0, 10_000_000),
)
def test_the_level_is_one_that_a_report_may_name(
    period: int, growth: int, floor: float, peak: float, step: int
) -> None:
    level = restarts.level(make(period=period, growth=growth, floor=floor, peak=peak), step)
    assert 0 < level <= 1
    assert math.isfinite(level)


def test_a_restart_is_told_once_and_falls_are_not() -> None:
    policy = make(period=3, growth=2)
    told, given_ = [], 1.0
    for n in range(1, 12):
        reports = [Report(step, 1.0, 1.0) for step in range(1, n + 1)]
        verdict = restarts.judge(policy, reports, given_)
        told += [
            (r.kind, r.data["step"], r.data["length"], r.data["reason"]) for r in verdict.records
        ]
        assert all(is_storable(r.data) for r in verdict.records)
        given_ = verdict.lr_factor
        assert restarts.judge(policy, reports, given_).records == ()
    assert told == [
        (EventKind.SCALED, 3, 6, "cycle 2 starts, 6 steps long"),
        (EventKind.SCALED, 9, 12, "cycle 3 starts, 12 steps long"),
    ]
    assert verdict.cuts == (3, 9)


def test_pruning_rests_after_a_restart() -> None:
    asha = {"name": "asha", "min": 4, "max": 27, "eta": 3, "grace": 2}
    owner = study(pruner=asha, policies=[{"name": "warm_restarts", "period": 4}])
    peers = History()
    peers.rungs[0, 0] = [0.1] * 9
    outcomes = [
        steer.judge(owner, trial(curve(*[1.0] * n)), peers).decision.stop for n in range(1, 8)
    ]
    assert outcomes == [False, False, False, False, False, False, True]


def test_an_attempt_starts_at_the_level_of_its_step() -> None:
    owner = study(policies=[{"name": "warm_restarts", "period": 4, "growth": 1, "floor": 0.2}])
    whole = trial(curve(*[1.0] * 8), lr_factor=1.0)
    found = [steer.level_after(owner, whole, step) for step in (0, 2, 4, 6)]
    assert found == pytest.approx([1.0, 0.6, 1.0, 0.6])
