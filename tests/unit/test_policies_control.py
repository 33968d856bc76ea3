"""Controls of halving: who gets one, what they are told, and what comes out of the pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from scipy import stats

from storage.index import entries
from tests.unit.histories import History, curve, study, trial
from tuner.decision import Outcome
from tuner.interval import mean_of, student
from tuner.policies import control, steer
from tuner.study import Study
from tuner.trial import Origin, RungMark, Trial, TrialState


def owner(share: float = 0.5, **settings: Any) -> Study:
    halve = {"name": "halve_on_plateau", "patience": 0, "control": share}
    return study(policies=[halve], **settings)


def ended(values: Sequence[float], outcome: Outcome = Outcome.COMPLETE, **more: Any) -> Trial:
    reports = curve(*values)
    return trial(reports, state=TrialState.ENDED, outcome=outcome, value=min(values), **more)


def pair(
    halved: Sequence[float], plain: Sequence[float], seed: int = 1, **more: Any
) -> list[Trial]:
    return [
        ended(halved, number=2 * seed, seed=seed, **more),
        ended(plain, number=2 * seed + 1, seed=seed, origin=Origin.CONTROL),
    ]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_share_of_the_trials_gets_one(share: float) -> None:
    found = owner(share)
    drawn = sum(control.is_drawn(found, trial(number=n)) for n in range(4000))
    assert drawn == pytest.approx(4000 * share, abs=4 * (4000 * share * (1 - share)) ** 0.5)


def test_finalists_and_controls_get_none() -> None:
    for origin in (Origin.FINALIST, Origin.CONTROL):
        assert not control.is_drawn(owner(1.0), trial(origin=origin))
    assert not control.is_drawn(study(policies=[]), trial())


@pytest.mark.parametrize(
    ("halved", "plain", "outcome", "expected"),
    [
        # the best of both at their own ends: 0.5 against 0.7
        ([1.0, 0.5], [1.0, 0.9, 0.7], Outcome.COMPLETE, 0.2),
        # a converged trial went to its own end, too
        ([1.0, 0.5], [1.0, 0.9, 0.3], Outcome.CONVERGED, -0.2),
        # pruned after two steps: what the control had after two
        ([1.0, 0.6], [1.0, 0.9, 0.1], Outcome.PRUNED, 0.3),
        # failed: nothing can be told
        ([1.0, 0.6], [1.0, 0.9], Outcome.FAILED, None),
    ],
)
def test_what_halving_was_worth_to_a_pair(
    halved: list[float], plain: list[float], outcome: Outcome, expected: float | None
) -> None:
    (found,) = control.pairs(pair(halved, plain, outcome=outcome))
    difference = control.difference(owner(), found)
    assert difference == (None if expected is None else pytest.approx(expected))


def test_for_a_metric_that_should_grow_the_sign_turns() -> None:
    (found,) = control.pairs(pair([0.1, 0.8], [0.1, 0.5]))
    assert control.difference(owner(mode="max"), found) == pytest.approx(0.3)


def test_worth_is_the_mean_of_the_pairs_with_its_interval() -> None:
    differences = [0.2, 0.1, 0.4, -0.1]
    trials = [t for i, d in enumerate(differences) for t in pair([1.0], [1.0 + d], seed=i)]
    running = trial(curve(1.0), number=20, seed=9, state=TrialState.RUNNING)
    trials += [running, running.evolve(number=21, origin=Origin.CONTROL)]
    found = control.worth(owner(), trials)
    assert found is not None
    assert found.mean is not None
    assert (found.better, found.open, found.mean.n) == (3, 1, 4)
    assert found.mean.value == pytest.approx(0.15)
    low, high = stats.t.interval(0.95, 3, 0.15, stats.sem(differences))
    assert found.mean.low == pytest.approx(low, rel=1e-3)
    assert found.mean.high == pytest.approx(high, rel=1e-3)
    assert control.sentence(found, "val_loss") == (
        "halving was worth +0.15 of val_loss a trial "
        f"(95 %: {found.mean.low:+.4g} to {found.mean.high:+.4g}, which may be chance), "
        "better in 3 of 4 with a control"
    )


def test_without_pairs_there_is_nothing_to_tell() -> None:
    assert control.worth(owner(), [ended([1.0])]) is None
    assert control.worth(study(policies=[]), pair([1.0], [2.0])) is None


def test_a_control_keeps_its_rate_is_not_pruned_and_ends_with_the_budget() -> None:
    asha = {"name": "asha", "min": 1, "max": 9, "eta": 3}
    found = owner(pruner=asha, steps=4)
    peers = History()
    peers.rungs[0, 0] = peers.rungs[0, 1] = [0.1] * 9
    for n in range(1, 5):
        judged = steer.judge(found, trial(curve(*[1.0] * n), origin=Origin.CONTROL), peers)
        assert (judged.decision.lr_factor, judged.records, judged.marks) == (1.0, (), ())
    assert judged.decision.outcome is Outcome.COMPLETE
    assert steer.level_after(found, trial(curve(1.0, 1.0), origin=Origin.CONTROL), 2) == 1.0


def test_pruning_sees_nothing_of_a_control() -> None:
    done = ended([1.0], marks=(RungMark(0, 0, 1, 1.0),))
    assert (0, 0) in entries(done)
    keys = entries(done.evolve(origin=Origin.CONTROL)).keys()
    assert all(len(key) == 3 for key in keys)  # lists of trials, no rung and no step


def test_the_quantile_of_student_is_right() -> None:
    for degrees in [*range(1, 40), 100, 10_000]:
        assert student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-3)


def test_the_interval_of_a_mean_covers_it() -> None:
    rng = random.Random(0)
    hits = 0
    for _ in range(2000):
        mean = mean_of([rng.gauss(0, 1) for _ in range(5)])
        assert mean.low is not None
        assert mean.high is not None
        hits += mean.low < 0 < mean.high
    assert hits == pytest.approx(1900, abs=45)
