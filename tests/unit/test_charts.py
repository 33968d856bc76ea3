"""What charts are drawn from."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.charts.band import Bands
from api.charts.columns import columns
from api.charts.curves import MOST_POINTS, curves, thin
from api.charts.numbers import column, short, spread
from api.charts.packed import takes_gzip
from api.charts.progress import eta, improvements, in_order, progress
from tests.unit.histories import curve, study, trial
from tuner.decision import Outcome
from tuner.trial import Origin, Report, Trial, TrialState

START = datetime(2026, 1, 1, tzinfo=UTC)


def ended(number: int, *values: float, outcome: Outcome = Outcome.COMPLETE) -> Trial:
    """Return a trial that ended `number` minutes after the start."""
    finite = [v for v in values if math.isfinite(v)]
    return trial(curve(*values), number=number).evolve(
        state=TrialState.ENDED,
        outcome=outcome,
        value=min(finite) if finite else None,
        started_at=START,
        ended_at=START + timedelta(minutes=number),
    )


def test_the_staircase_holds_improvements_of_trials_that_trained_to_their_end() -> None:
    trials = [
        ended(0, 0.9),
        ended(1, 0.1, outcome=Outcome.PRUNED),
        ended(2, 1.2),
        ended(3, 0.5),
        ended(4, math.nan, outcome=Outcome.DIVERGED),
        ended(5, 0.4, outcome=Outcome.CONVERGED),
        ended(6, 0.05).evolve(origin=Origin.FINALIST),
    ]
    shown = progress(study(), trials, START + timedelta(minutes=10))
    assert shown.best.number == [0, 3, 5]
    assert shown.best.n == [1, 4, 6]
    assert shown.best.value == [0.9, 0.5, 0.4]
    assert (shown.total, shown.shown) == (5, 5)
    assert shown.since_best_trials == 0
    assert shown.since_best_s == 5 * 60


def test_of_a_study_that_maximises_the_staircase_rises() -> None:
    trials = [ended(0, 0.5), ended(1, 0.4), ended(2, 0.9)]
    assert progress(study(mode="max"), trials, START).best.value == [0.5, 0.9]


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.sampled_from(["min", "max"]))
def test_each_step_of_the_staircase_is_better_than_all_before(
    values: list[float], mode: str
) -> None:
    found = improvements(study(mode=mode), in_order([ended(i, v) for i, v in enumerate(values)]))
    sign = 1 if mode == "min" else -1
    best = [sign * (point.trial.value or 0.0) for point in found]
    assert all(after < before for before, after in pairwise(best))
    if values:
        assert found[-1].trial.value == (min(values) if mode == "min" else max(values))


def test_many_points_are_thinned_and_the_improvements_stay() -> None:
    trials = [ended(i, 1 / (i + 1) if i % 700 == 0 else 5.0) for i in range(4000)]
    shown = progress(study(), trials, START)
    assert shown.total == 4000
    assert shown.shown <= 1500
    assert set(shown.best.number) <= set(shown.points["number"])


def test_the_time_left_follows_the_pace() -> None:
    running = trial(number=9).evolve(state=TrialState.RUNNING)
    spec = study()
    left = spec.spec.budget.trials - 5
    now = START + timedelta(minutes=8)
    begun = spec.evolve(started_at=START)
    low, high = eta(begun, [*(ended(i, 0.5) for i in range(1, 5)), running], now) or (0.0, 0.0)
    assert low < 120 * (left + 1) < high
    assert eta(begun, [ended(1, 0.5)], now) is None


def test_curves_hold_the_best_the_running_and_the_chosen() -> None:
    trials = [ended(i, 1.0, 1.0 / (i + 1)) for i in range(8)]
    trials.append(trial(curve(0.7), number=8).evolve(state=TrialState.RUNNING))
    shown = curves(study(), trials, Bands(), top=2, chosen={0, 99})
    assert [c.number for c in shown.curves] == [0, 6, 7, 8]
    assert (shown.total, shown.shown) == (9, 4)
    assert shown.band is not None
    assert shown.band.n == [8, 8]
    assert curves(study(), trials, Bands(), top=50, chosen=()).band is None


def test_the_band_is_numpys_quantiles_and_grows() -> None:
    bands, rng = Bands(), np.random.default_rng(0)
    values = rng.normal(size=(30, 3)).tolist()
    trials = [ended(i, *row[: 1 + i % 3]) for i, row in enumerate(values)]
    bands.of(1, trials[:10])
    band = bands.of(1, trials)
    assert band.step == [1, 2, 3]
    assert band.n == [30, 20, 10]
    at_two = [row[1] for i, row in enumerate(values) if i % 3]
    assert band.q["50"][1] == pytest.approx(np.quantile(at_two, 0.5), rel=1e-7)


def test_a_value_that_is_no_number_is_a_gap_in_the_curve_and_not_in_the_band() -> None:
    trials = [ended(0, 0.5, math.nan, math.inf, outcome=Outcome.DIVERGED), ended(1, 0.5, 0.4)]
    shown = curves(study(), trials, Bands(), top=0, chosen={0})
    assert shown.curves[0].value == [0.5, None, None]
    assert shown.band is not None
    assert shown.band.n == [2, 1]


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=3000))
def test_thinning_keeps_the_ends_the_extremes_and_each_cut(values: list[float]) -> None:
    reports = [Report(i, v, 1.0 if i < len(values) // 2 else 0.5) for i, v in enumerate(values)]
    kept = thin(reports, MOST_POINTS)
    assert len(kept) <= max(len(reports) if len(reports) <= MOST_POINTS else 0, 2 * MOST_POINTS)
    assert [kept[0], kept[-1]] == [reports[0], reports[-1]]
    assert [r.step for r in kept] == sorted({r.step for r in kept})
    finite = [v for v in values if math.isfinite(v)]
    if finite:
        seen = [r.value for r in kept if math.isfinite(r.value)]
        assert (min(seen), max(seen)) == (min(finite), max(finite))
    if len(values) > 1:
        assert len(values) // 2 in {r.step for r in kept}


def test_columns_hold_a_row_a_trial_and_say_how_many_there_are() -> None:
    shown = columns(study(), [ended(0, 0.9, 0.3), trial(number=1)])
    assert shown.columns["value"] == [0.3, None]
    assert shown.columns["max_value"] == [0.9, None]
    assert shown.columns["outcome"] == ["complete", None]
    assert (shown.total, shown.rows) == (2, 2)
    assert all(len(c) == 2 for c in (*shown.columns.values(), *shown.params.values()))


def test_numbers_are_short_and_finite() -> None:
    assert short(0.1 + 0.2) == 0.3
    assert column([1.0, None, math.nan, math.inf]) == [1.0, None, None, None]
    assert list(spread(range(101), 3)) == [0, 50, 100]
    assert list(spread(range(3), 5)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip, br", True),
        ("br;q=1, gzip;q=0.2", True),
        ("gzip;q=0", False),
        ("br", False),
        ("", False),
        ("*", True),
    ],
)
def test_only_who_takes_gzip_gets_it(header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes
