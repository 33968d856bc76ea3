"""Cuts of the rate that people make, beside each rule for the rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.histories import History, applied, curve, study, trial
from tuner.policies import steer
from tuner.policies.base import Record
from tuner.study import Study
from tuner.trial import HandCut, Report, Trial

HALVE: dict[str, Any] = {"name": "halve_on_plateau", "factor": 0.5, "patience": 1}
POINTS = [{"step": 2, "lr_factor": 0.5}, {"step": 4, "lr_factor": 0.1}]
SCHEDULE: dict[str, Any] = {"name": "rate_schedule", "points": POINTS}


def cut(state: Trial, factor: float) -> Trial:
    """Cut a running trial's rate as the server does."""
    hand = (*state.hand, HandCut(state.last_step, factor))
    return state.evolve(lr_factor=state.lr_factor * factor, hand=hand)


def train(
    owner: Study, state: Trial, values: Sequence[float], cuts: dict[int, float] | None = None
) -> tuple[Trial, list[float], list[Record]]:
    """Report values; a worker trains one step at the level before it hears of a cut."""
    levels: list[float] = []
    records: list[Record] = []
    level = state.lr_factor
    for value in values:
        step = state.last_step + 1
        report = Report(step, value, level)
        state = state.evolve(reports=(*state.reports, report))
        judgement = steer.judge(owner, state, History())
        state = applied(state, judgement)
        level = state.lr_factor
        levels.append(level)
        records += judgement.records
        if cuts and step in cuts:
            state = cut(state, cuts[step])
    return state, levels, records


@pytest.mark.parametrize(
    ("policies", "values", "levels"),
    [
        # Nothing else steers: the cut after step 2 is heard at step 3, and stays.
        ([], [1, 1, 1, 1, 1], [1, 1, 0.5, 0.5, 0.5]),
        # The schedule goes on, multiplied.
        ([SCHEDULE], [1, 1, 1, 1, 1], [1, 0.5, 0.25, 0.05, 0.05]),
        # Step 3 trained at the old level and counts for nothing; 4 and 5 are bad, 5 cuts.
        ([HALVE], [1, 1, 1, 1, 1, 1, 1], [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]),
    ],
)
def test_rules_go_on_from_a_cut_by_hand(
    policies: list[Any], values: list[float], levels: list[float]
) -> None:
    _, found, records = train(study(policies=policies), trial(), values, {2: 0.5})
    assert found == pytest.approx(levels)
    assert all(r.data["rule"] != "by hand" for r in records)


@pytest.mark.parametrize(
    ("policies", "after"),
    [
        # Levels after 0, 1, 2, … steps; the cut is made after step 3.
        ([], [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]),
        ([SCHEDULE], [1, 1, 0.5, 0.25, 0.05, 0.05, 0.05, 0.05]),
        ([HALVE], [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]),
    ],
)
@pytest.mark.parametrize("resumed", [0, 1, 2, 3, 5])
def test_an_attempt_meets_the_cut_again_after_its_step(
    policies: list[Any], after: list[float], resumed: int
) -> None:
    owner = study(policies=policies)
    values = [1 / n for n in range(1, 8)]
    first, _, _ = train(owner, trial(), values, {3: 0.5})
    level = steer.level_after(owner, first, resumed)
    assert level == pytest.approx(after[resumed])
    kept = tuple(r for r in first.reports if r.step <= resumed)
    again = first.evolve(reports=kept, lr_factor=level, memo=None)
    _, found, records = train(owner, again, values[resumed:])
    assert found == pytest.approx(after[resumed + 1 :])
    met = [r.data["step"] for r in records if r.data["rule"] == "by hand"]
    assert met == ([3] if resumed < 3 else [])


def test_what_was_folded_before_is_not_used_after_a_cut() -> None:
    owner = study(policies=[HALVE])
    values = [1.0] * 9
    first, levels, _ = train(owner, trial(), values, {1: 0.5, 4: 0.1})
    forgetful = trial()
    slow: list[float] = []
    for step, value in enumerate(values, 1):
        level = slow[-1] if slow else 1.0
        reports = (*forgetful.reports, Report(step, value, level))
        forgetful = forgetful.evolve(reports=reports, memo=None)
        forgetful = applied(forgetful, steer.judge(owner, forgetful, History()))
        slow.append(forgetful.lr_factor)
        factor = {1: 0.5, 4: 0.1}.get(step)
        forgetful = forgetful if factor is None else cut(forgetful, factor)
    assert slow == levels
    assert first.lr_factor == forgetful.lr_factor


def test_a_cut_by_hand_lowers_a_warm_restart_and_all_after_it() -> None:
    policy = {"name": "warm_restarts", "period": 2, "growth": 1, "floor": 0.5}
    owner = study(policies=[policy], steps=None)
    made = HandCut(step=1, factor=0.5)
    state = trial(curve(1.0), lr_factor=0.75 * 0.5, hand=(made,))
    levels = []
    for step in range(2, 5):
        state = state.evolve(reports=(*state.reports, Report(step, 1.0, state.lr_factor)))
        state = applied(state, steer.judge(owner, state, History()))
        levels.append(state.lr_factor)
    assert levels == pytest.approx([0.5, 0.375, 0.5])
    assert steer.level_after(owner, state, 3) == pytest.approx(0.375)
    assert steer.level_after(owner, state, 0) == 1.0


def test_the_update_ratio_goes_on_from_a_cut_by_hand() -> None:
    owner = study(policies=[{"name": "update_ratio", "patience": 0}], steps=None)
    low = {"update_ratio": 1e-5}
    made = HandCut(step=1, factor=0.25)
    state = trial([Report(1, 1.0, 1.0, None)], lr_factor=0.25, hand=(made,))
    late = state.evolve(reports=(*state.reports, Report(2, 1.0, 1.0, low)))
    assert steer.judge(owner, late, History()).decision.lr_factor == 0.25  # not applied yet
    state = late.evolve(reports=(*late.reports, Report(3, 1.0, 0.25, low)))
    assert steer.judge(owner, state, History()).decision.lr_factor == 0.5
    assert steer.level_after(owner, state, 1) == 0.25
    assert steer.level_after(owner, state, 3) == 0.5
