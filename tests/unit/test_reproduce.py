"""A trial's record, the decisions of a repetition, and how two curves compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tuner.decision import Action, Outcome
from tuner.errors import InvalidInput
from tuner.reproduce import compare, recorded
from tuner.reproduce.recorded import Recorded, Reported
from tuner.reproduce.replay import Replay
from tuner.trial import EventKind
from tuner.wire import EventView, ReportView, StudyView, TrialDetail

AT = datetime(2026, 1, 1, tzinfo=UTC)


def study() -> StudyView:
    return StudyView.model_validate(
        {
            "id": 1,
            "name": "s",
            "state": "running",
            "spec": {
                "objective": {"metric": "loss"},
                "budget": {"trials": 3, "steps": 9},
                "run": {"task": "digits-mlp"},
            },
            "created_at": AT,
            "counts": {},
            "steps_done": 0,
            "steps_saved": 0,
            "halvings": 0,
        }
    )


def trial(
    reports: Sequence[tuple[int, int, float | None, float]],
    resumed: dict[int, int | None],
    **more: Any,
) -> TrialDetail:
    views = [
        ReportView(
            attempt=attempt,
            step=step,
            value=value,
            status="ok" if value is not None else "nan",
            lr_factor=level,
            metrics={},
            at=AT,
        )
        for attempt, step, value, level in reports
    ]
    events = [
        EventView(
            seq=i,
            kind=EventKind.LEASED,
            at=AT,
            study_id=1,
            number=0,
            attempt=attempt,
            data={"resumed_step": step},
        )
        for i, (attempt, step) in enumerate(resumed.items(), start=1)
    ]
    document = {
        "number": 0,
        "state": "ended",
        "outcome": "pruned",
        "reason": "",
        "origin": "sampled",
        "params": {"lr": 0.1},
        "value": None,
        "last_value": None,
        "last_step": 0,
        "lr_factor": 1.0,
        "attempt": max(resumed, default=0),
        "failures": 0,
        "seed": 7,
        "worker_id": None,
        "created_at": AT,
        "started_at": AT,
        "ended_at": AT,
        "reports": views,
        "events": events,
    }
    return TrialDetail.model_validate(document | more)


def test_the_curve_is_the_lineage_over_attempts() -> None:
    reports = [
        (1, 1, 0.9, 1.0),
        (1, 2, 0.8, 1.0),
        (1, 3, 0.7, 0.5),  # after the checkpoint the second attempt resumed from: not in the curve
        (2, 3, 0.75, 1.0),
        (2, 4, None, 0.5),
    ]
    found = recorded(study(), trial(reports, {1: None, 2: 2}))
    assert [(r.step, r.lr_factor) for r in found.curve] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 0.5)]
    assert found.curve[2].value == 0.75
    assert math.isnan(found.curve[3].value)
    assert (found.seed, found.steps, found.metric) == (7, 9, "loss")


def test_an_attempt_from_the_start_replaces_the_whole_curve() -> None:
    reports = [(1, 1, 0.9, 1.0), (1, 2, 0.8, 1.0), (2, 1, 0.9, 1.0)]
    assert [r.step for r in recorded(study(), trial(reports, {1: None, 2: None})).curve] == [1]


def test_what_began_elsewhere_or_not_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="another trial's checkpoint"):
        recorded(study(), trial([(0, 1, 0.9, 1.0)], {1: 1}))
    with pytest.raises(InvalidInput, match="has not begun"):
        recorded(study(), trial([], {}))


def past(outcome: Outcome | None, *levels: float) -> Recorded:
    return Recorded(
        study="s",
        number=0,
        params={},
        seed=0,
        steps=9,
        metric="loss",
        run={"task": "digits-mlp"},
        curve=tuple(Reported(2 * i, 1.0, level) for i, level in enumerate(levels, start=1)),
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("outcome", "step", "level", "stops"),
    [
        (Outcome.PRUNED, 2, 1.0, False),  # the level of the step after it
        (Outcome.PRUNED, 4, 0.5, False),
        (Outcome.PRUNED, 5, 0.5, False),  # a step that was not reported before
        (Outcome.PRUNED, 6, 0.5, True),  # the last one
        (Outcome.PRUNED, 8, 0.5, True),
        (Outcome.CONVERGED, 6, 0.5, True),
        (Outcome.COMPLETE, 6, 0.5, False),  # ended by itself, and shall again
        (Outcome.FAILED, 6, 0.5, False),
        (None, 6, 0.5, True),  # still runs
    ],
)
def test_the_decisions_of_a_repetition(
    outcome: Outcome | None, step: int, level: float, stops: bool
) -> None:
    replay = Replay.of(past(outcome, 1.0, 1.0, 0.5))
    again = Replay.model_validate_json(replay.model_dump_json())
    decision = again.decision(step)
    assert (decision.lr_factor, decision.action is Action.STOP) == (level, stops)


@pytest.mark.parametrize(
    ("here", "reproduced", "words"),
    [
        ([(1, 0.5), (2, 0.25)], True, "all 2 steps equal to the last bit"),
        ([(1, 0.5), (2, 0.25 * (1 + 1e-9))], True, "within 1e-06"),
        ([(1, 0.5), (2, 0.26)], False, "differs from step 2 on (recorded 0.25, here 0.26)"),
        ([(1, 0.5)], False, "differs from step 2 on (recorded 0.25, here nothing)"),
        ([(1, 0.5), (2, 0.25), (3, 0.1)], False, "differs from step 3 on"),
        ([(1, math.nan), (2, 0.25)], False, "differs from step 1 on"),
    ],
)
def test_two_curves(here: list[tuple[int, float]], reproduced: bool, words: str) -> None:
    before = [Reported(1, 0.5, 1.0), Reported(2, 0.25, 1.0)]
    found = compare(before, here, tolerance=1e-6)
    assert found.reproduced is reproduced
    assert words in found.verdict


def test_a_curve_that_diverged_equals_itself() -> None:
    before = [Reported(1, 0.5, 1.0), Reported(2, math.nan, 1.0)]
    assert compare(before, [(1, 0.5), (2, math.nan)], tolerance=0.0).reproduced


def test_no_curve_reproduces_nothing() -> None:
    assert not compare([], [], tolerance=1.0).reproduced
