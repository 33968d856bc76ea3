"""Early stopping: known histories, and random ones against a plain count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.histories import History, applied, is_storable, study, trial
from tuner.decision import Outcome
from tuner.policies import steer, stopping
from tuner.spec import EarlyStopping
from tuner.trial import Report


def make(**settings: Any) -> EarlyStopping:
    return EarlyStopping(name="early_stopping", **settings)


def told(values: Sequence[float], losses: Sequence[float | None]) -> list[Report]:
    """Return reports of the objective with a training loss each, None for one that is not told."""
    return [
        Report(n, value, 1.0, None if loss is None else {"train_loss": loss})
        for n, (value, loss) in enumerate(zip(values, losses, strict=True), start=1)
    ]


def stops_at(policy: EarlyStopping, reports: Sequence[Report], mode: str = "min") -> int | None:
    for n in range(1, len(reports) + 1):
        if stopping.judge(policy, mode, reports[:n]).stop is not None:
            return n
    return None


FALLING = [1.0 - 0.1 * n for n in range(9)]


@pytest.mark.parametrize(
    ("settings", "values", "losses", "stop"),
    [
        # validation rises from step 3 on while training falls: the third such report ends it
        ({"patience": 2}, [3, 2, 1, 2, 2, 2], FALLING[:6], 6),
        ({"patience": 0}, [3, 2, 1, 2], FALLING[:4], 4),
        # an equal value is not worse; with a threshold of a tenth, 1.05 is not either
        ({"patience": 0}, [1, 1, 1, 1], FALLING[:4], None),
        ({"patience": 0, "threshold": 0.1}, [1, 1.05, 1.2], FALLING[:3], 3),
        # a new best starts the count anew
        ({"patience": 1}, [2, 3, 1, 2, 2], FALLING[:5], 5),
        # a training that stands worse than at the best counts for nothing, and takes nothing back
        ({"patience": 1}, [1, 2, 2, 2, 2], [1.0, 0.9, 1.1, 1.2, 0.8], 5),
        ({"patience": 0}, [1, 2, 2], [1.0, 1.1, 1.2], None),
        # not told: counts for nothing; unless the training isn't asked
        ({"patience": 0}, [1, 2, 2], [None, None, None], None),
        ({"patience": 0, "train": None}, [1, 2, 2], [None, None, None], 2),
        # the first reports may be let pass
        ({"patience": 0, "warmup": 3}, [1, 2, 2, 2], FALLING[:4], 4),
        # the best below 0: the threshold is a share of its size
        ({"patience": 0, "threshold": 0.1}, [-1, -0.95, -0.8], FALLING[:3], 3),
    ],
)
def test_stops(
    settings: dict[str, Any], values: list[float], losses: list[float | None], stop: int | None
) -> None:
    assert stops_at(make(**settings), told(values, losses)) == stop
    mirrored = told([-v for v in values], losses)
    assert stops_at(make(**settings), mirrored, "max") == stop


def test_a_training_accuracy_rises() -> None:
    policy = make(patience=0, train="train_accuracy", train_mode="max")
    reports = [Report(1, 1.0, 1.0, {"train_accuracy": 0.5})]
    falls = [*reports, Report(2, 2.0, 1.0, {"train_accuracy": 0.4})]
    rises = [*reports, Report(2, 2.0, 1.0, {"train_accuracy": 0.6})]
    assert stops_at(policy, falls) is None
    assert stops_at(policy, rises) == 2


def test_the_end_is_complete_and_says_why() -> None:
    verdict = stopping.judge(make(patience=1), "min", told([1, 2, 3], [0.5, 0.4, 0.25]))
    assert verdict.stop is Outcome.COMPLETE
    assert verdict.reason == (
        "over-fitting: 2 reports worse than 1 at step 1, while train_loss went from 0.5 to 0.25"
    )
    assert is_storable(verdict.grounds)


VALUES = st.lists(
    st.tuples(
        st.floats(-5, 5).map(lambda x: round(x, 1)),
        st.one_of(st.none(), st.floats(0, 5).map(lambda x: round(x, 1))),
    ),
    max_size=30,
)


def _counted(policy: EarlyStopping, reports: Sequence[Report]) -> int | None:
    """Return the step of the stop, counted from the definition anew at every report."""
    for n in range(1, len(reports) + 1):
        best = min(range(n), key=lambda i: (reports[i].value, i))
        at_best = (reports[best].metrics or {}).get("train_loss")
        bad = [
            i
            for i in range(best + 1, n)
            if i >= policy.warmup
            and reports[i].value - reports[best].value > policy.threshold * abs(reports[best].value)
            and at_best is not None
            and (reports[i].metrics or {}).get("train_loss", at_best) < at_best
        ]
        if len(bad) > policy.patience:
            return n
    return None


@given(VALUES, st.integers(0, 4), st.sampled_from([0.0, 0.1]), st.integers(0, 5))
def test_random_histories_stop_where_a_plain_count_says(
    found: list[tuple[float, float | None]], patience: int, threshold: float, warmup: int
) -> None:
    policy = make(patience=patience, threshold=threshold, warmup=warmup)
    reports = told([v for v, _ in found], [t for _, t in found])
    assert stops_at(policy, reports) == _counted(policy, reports)


@given(VALUES, st.integers(0, 3), st.booleans())
def test_what_was_kept_changes_no_decision(
    found: list[tuple[float, float | None]], patience: int, halve: bool
) -> None:
    """A server that was restarted before each report decides as one that kept its memos."""
    policies = [{"name": "early_stopping", "patience": patience}]
    if halve:
        policies.append({"name": "halve_on_plateau", "patience": 1})
    owner = study(policies=policies, steps=None)
    kept = forgot = trial()
    for n, (value, loss) in enumerate(found, start=1):
        metrics = None if loss is None else {"train_loss": loss}
        judged = []
        for state in (kept, forgot):
            report = Report(n, value, state.lr_factor, metrics)
            after = state.evolve(reports=(*state.reports, report))
            judged.append((after, steer.judge(owner, after, History())))
        assert judged[0][1] == judged[1][1]
        kept, forgot = (applied(after, judgement) for after, judgement in judged)
        kept = kept.evolve(memo=judged[0][1].memo)
        if judged[0][1].decision.stop:
            return


def test_it_ends_a_trial_of_a_study() -> None:
    owner = study(policies=[{"name": "early_stopping", "patience": 0}])
    state = trial(told([1, 2], [1.0, 0.5]))
    judged = steer.judge(owner, state, History())
    assert judged.decision.outcome is Outcome.COMPLETE
    assert judged.grounds["rule"] == "early_stopping"
    assert owner.watched == {"train_loss"}
