"""One number for several runs: the mean, the worst, or the mean less k deviations."""

from __future__ import annotations

import pytest

from tuner.robust import RULES, Rule, aggregated

STD = 200**0.5 / 3**0.5


@pytest.mark.parametrize(
    ("rule", "k", "smaller", "expected"),
    [
        ("mean", 1.0, False, 20.0),
        ("mean", 1.0, True, 20.0),
        ("worst", 1.0, False, 10.0),  # of returns the least
        ("worst", 1.0, True, 30.0),  # of losses the largest
        ("mean_minus_std", 0.5, False, 20 - 0.5 * STD),
        ("mean_minus_std", 0.5, True, 20 + 0.5 * STD),  # a deviation is bad for a loss, too
    ],
)
def test_several_values_become_one(rule: Rule, k: float, smaller: bool, expected: float) -> None:
    found = aggregated([10.0, 20.0, 30.0], rule, k, smaller_is_better=smaller)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("rule", RULES)
def test_one_value_is_itself(rule: Rule) -> None:
    assert aggregated([0.3], rule, 2.0, smaller_is_better=True) == 0.3
