"""The update ratio: known histories, a training that answers to its rate, and late reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.histories import History, applied, is_storable, study, trial
from tuner.policies import ratio, steer
from tuner.spec import UpdateRatio
from tuner.trial import EventKind, Report


def make(**settings: Any) -> UpdateRatio:
    return UpdateRatio(name="update_ratio", **settings)


def told(*ratios: float | None, level: float = 1.0, first: int = 1) -> list[Report]:
    """Return reports of update ratios; None stands for a report without the metric."""
    return [
        Report(first + i, 1.0, level, None if r is None else {"update_ratio": r})
        for i, r in enumerate(ratios)
    ]


@pytest.mark.parametrize(
    ("settings", "ratios", "level"),
    [
        # within the band of 3 around 1e-3, edges included
        ({}, [1e-3, 2.9e-3, 3.4e-4], 1.0),
        # three in a row above it, by 4: halved, since a change is at most `step`
        ({}, [4e-3] * 3, 0.5),
        ({"step": 10.0}, [4e-3] * 3, 0.25),
        # the geometric mean of 4e-3 and 16e-3 is 8e-3
        ({"step": 10.0, "patience": 1}, [4e-3, 16e-3], 0.125),
        # far too low: doubled
        ({}, [3e-5] * 3, 2.0),
        # two are let pass
        ({}, [3e-5] * 2, 1.0),
        ({"patience": 0}, [3e-5], 2.0),
        # one inside, or on the other side, or not told, breaks the row
        ({}, [3e-5, 1e-3, 3e-5, 3e-5], 1.0),
        ({}, [3e-5, 1e-1, 3e-5, 3e-5], 1.0),
        ({}, [3e-5, None, 3e-5, 3e-5], 1.0),
        ({}, [3e-5, 0.0, 3e-5, 3e-5], 1.0),
        ({"bound": 1.5}, [3e-5] * 3, 1.5),
        ({"bound": 1.5}, [1.0] * 3, 1 / 1.5),
        # not after `until`
        ({"until": 3}, [3e-5] * 3, 2.0),
        ({"until": 2}, [3e-5] * 3, 1.0),
        ({"target": 1e-2}, [1e-2] * 3, 1.0),
    ],
)
def test_levels(settings: dict[str, Any], ratios: list[float | None], level: float) -> None:
    verdict = ratio.judge(make(**settings), 0.1, told(*ratios))
    assert verdict.lr_factor == pytest.approx(level)
    assert len(verdict.records) == (level != 1.0)


def test_a_change_says_why() -> None:
    (record,) = ratio.judge(make(), 0.1, told(3e-5, 3e-5, 3e-5)).records
    assert record.kind is EventKind.SCALED
    assert is_storable(record.data)
    assert record.data["reason"] == (
        "update_ratio 3e-05 over 3 reports, should be near 0.001: rate 0.1 → 0.2"
    )
    assert (record.data["old_factor"], record.data["new_factor"]) == (1.0, 2.0)


def test_reports_of_another_level_decide_nothing() -> None:
    before = told(3e-5, 3e-5, 3e-5)
    late = [*before, *told(3e-5, 3e-5, first=4)]  # the change was not applied yet
    assert ratio.judge(make(), 0.1, late, given=2.0).lr_factor == 2.0
    mixed = [*late, *told(3e-5, 3e-5, level=2.0, first=6)]
    assert ratio.judge(make(), 0.1, mixed, given=2.0).lr_factor == 2.0
    three = [*mixed, *told(3e-5, level=2.0, first=8)]
    verdict = ratio.judge(make(), 0.1, three, given=2.0)
    assert verdict.lr_factor == 4.0
    assert verdict.cuts == (5, 8)


@given(
    st.floats(1e-7, 1e2),
    st.floats(1.5, 10),
    st.floats(1.1, 10),
    st.floats(1.1, 1e4),
    st.integers(0, 4),
)
def test_a_training_that_answers_to_its_rate_comes_into_the_band_or_to_the_bound(
    start: float, band: float, step: float, bound: float, patience: int
) -> None:
    if step > band**2:  # larger changes than the band is wide may jump across it
        return
    policy = make(band=band, step=step, bound=bound, patience=patience)
    level, reports = 1.0, []
    for n in range(1, 700):
        reports.append(Report(n, 1.0, level, {"update_ratio": start * level}))
        verdict = ratio.judge(policy, 0.1, reports, level)
        again = ratio.judge(policy, 0.1, reports, verdict.lr_factor)
        assert verdict.lr_factor == level or again.records == ()
        assert 1 / bound <= verdict.lr_factor * (1 + 1e-9)
        assert verdict.lr_factor <= bound * (1 + 1e-9)
        level = verdict.lr_factor
    distance = abs(math.log(start * level / policy.target))
    at_bound = level in (pytest.approx(bound), pytest.approx(1 / bound))
    assert at_bound or distance <= math.log(band) * (1 + 1e-9)


@given(st.lists(st.one_of(st.none(), st.floats(1e-6, 1.0)), max_size=40), st.integers(1, 40))
def test_an_attempt_goes_on_as_the_one_before_would_have(
    ratios: Sequence[float | None], at: int
) -> None:
    """A trial whose worker vanished at any step decides as one left alone."""
    owner = study(policies=[{"name": "update_ratio", "patience": 1}], steps=None)
    state, levels = trial(), [1.0]
    for found in ratios:
        (report,) = told(found, level=state.lr_factor, first=state.last_step + 1)
        state = state.evolve(reports=(*state.reports, report))
        state = applied(state, steer.judge(owner, state, History()))
        levels.append(state.lr_factor)
    step = min(at, len(ratios))
    resumed = trial(state.reports[:step], lr_factor=steer.level_after(owner, state, step))
    assert resumed.lr_factor == pytest.approx(levels[step])
    for n, found in enumerate(ratios[step:], start=step + 1):
        (report,) = told(found, level=resumed.lr_factor, first=n)
        resumed = resumed.evolve(reports=(*resumed.reports, report))
        resumed = applied(resumed, steer.judge(owner, resumed, History()))
        assert resumed.lr_factor == pytest.approx(levels[n])
