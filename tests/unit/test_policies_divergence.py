"""Divergence by hand: what is far above the start, and what is not finite."""

from __future__ import annotations

import math

import pytest

from tests.unit.histories import curve, is_storable
from tuner.decision import Outcome
from tuner.policies import divergence
from tuner.policies.base import Verdict
from tuner.spec import Divergence

POLICY = Divergence(name="divergence")  # ratio 10, floor 1


@pytest.mark.parametrize(
    ("mode", "values", "diverged"),
    [
        # 2 + 10 * 2 = 22 is the limit, itself allowed
        ("min", [2.0, 22.0], False),
        ("min", [2.0, 22.1], True),
        # a small start counts as 1: the limit is 0.01 + 10
        ("min", [0.01, 10.0], False),
        ("min", [0.01, 10.1], True),
        # below zero: -5 + 10 * 5 = 45
        ("min", [-5.0, 45.0], False),
        ("min", [-5.0, 45.5], True),
        # better without bound is fine
        ("min", [2.0, -1e9], False),
        # max is mirrored: 3 - 10 * 3 = -27
        ("max", [3.0, -27.0], False),
        ("max", [3.0, -27.1], True),
        ("max", [3.0, 1e9], False),
        # it recovered: only the newest report is judged
        ("min", [2.0, 50.0, 2.0], False),
        # the first report itself can't be far above the start
        ("min", [1e300], False),
        # nothing but NaN before it: the first finite report is the start
        ("min", [math.nan, 1e9], False),
        ("min", [math.nan, 1.0, 12.0], True),
        # differences beyond the range of floats
        ("min", [-1e308, 1e308], False),
        ("min", [1.0, 1.7e308], True),
        # not finite
        ("min", [2.0, math.nan], True),
        ("min", [math.inf], True),
        ("min", [2.0, -math.inf], True),
        ("max", [math.nan], True),
    ],
)
def test_divergence_by_hand(mode: str, values: list[float], diverged: bool) -> None:
    verdict = divergence.judge(POLICY, mode, curve(*values))
    assert (verdict.stop is Outcome.DIVERGED) == diverged
    assert not diverged or is_storable(verdict.grounds)


def test_without_the_policy_only_values_that_are_not_finite_stop() -> None:
    assert divergence.judge(None, "min", curve(1.0, 1e9)) == Verdict()
    assert divergence.judge(None, "min", curve(1.0, math.nan)).stop is Outcome.DIVERGED


def test_settings_move_the_limit() -> None:
    policy = Divergence(name="divergence", ratio=2.0, floor=0.1)
    assert divergence.judge(policy, "min", curve(0.5, 1.4)).stop is None
    assert divergence.judge(policy, "min", curve(0.5, 1.6)).stop is Outcome.DIVERGED


def test_the_reason_is_a_sentence_with_numbers() -> None:
    verdict = divergence.judge(POLICY, "min", curve(2.0, 30.0))
    assert verdict.reason == (
        "30 at step 2 is worse than the first report, 2 at step 1, by 28; the limit is 20"
    )
    assert verdict.grounds == {
        "rule": "divergence",
        "reason": verdict.reason,
        "step": 2,
        "value": 30.0,
        "first": 2.0,
        "limit": 20.0,
    }


def test_nothing_reported_nothing_decided() -> None:
    assert divergence.judge(POLICY, "min", ()) == Verdict()
