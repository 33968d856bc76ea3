"""All rules over one report: which one speaks, what is stored, and that nothing depends on when."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.histories import History, applied, curve, is_storable, study, trial
from tuner.decision import Action, Decision, Outcome
from tuner.policies import steer
from tuner.policies.base import Judgement
from tuner.study import Study
from tuner.trial import EventKind, Origin, Report, RungMark, Trial

HALVE: dict[str, Any] = {"name": "halve_on_plateau", "patience": 1}
DIVERGENCE: dict[str, Any] = {"name": "divergence"}
ASHA: dict[str, Any] = {"name": "asha", "min": 3, "max": 27, "eta": 3, "grace": 3}
FULL: dict[str, Any] = {"pruner": ASHA, "policies": [HALVE, DIVERGENCE]}


def train(
    owner: Study, values: Sequence[float], peers: History | None = None, **changes: Any
) -> tuple[Trial, list[Judgement]]:
    """Report values one by one, applying each decision at once, until the stop."""
    peers = peers or History()
    state, found = trial(**changes), []
    for value in values:
        report = Report(state.last_step + 1, value, state.lr_factor)
        state = state.evolve(reports=(*state.reports, report))
        found.append(steer.judge(owner, state, peers))
        peers.add(found[-1].marks)
        state = applied(state, found[-1])
        if found[-1].decision.stop:
            break
    return state, found


def full_rung(value: float) -> History:
    peers = History()
    for rung in range(4):
        peers.rungs[0, rung] = [value] * 9
    return peers


def test_a_good_report_goes_on_without_a_word() -> None:
    _, found = train(study(**FULL), [1.0])
    assert found == [Judgement(decision=Decision())]


def test_before_the_first_report_the_level_stands() -> None:
    judged = steer.judge(study(**FULL), trial(lr_factor=0.5), History())
    assert judged == Judgement(decision=Decision(lr_factor=0.5))


def test_a_cut_lowers_the_level_and_says_why() -> None:
    _, found = train(study(**FULL), [1.0, 1.0, 1.0])
    decision = found[-1].decision
    assert decision.action is Action.CONTINUE
    assert decision.lr_factor == 0.5
    assert decision.reason == "2 reports without improvement on 1: lr 0.1 → 0.05"
    assert [r.kind for r in found[-1].records] == [EventKind.HALVED]


@pytest.mark.parametrize(
    ("values", "settings", "outcome"),
    [
        # diverged before converged: the third report would be both
        ([1.0, 1.0, math.nan], {"min_lr": 0.09}, Outcome.DIVERGED),
        ([1.0, 1.0, 99.0], {"min_lr": 0.09}, Outcome.DIVERGED),
        # converged before pruned: at rung 3 it is both
        ([1.0, 1.0, 1.0], {"min_lr": 0.09}, Outcome.CONVERGED),
        # pruned alone
        ([1.0, 0.9, 0.8], {}, Outcome.PRUNED),
        # a cut at the rung brings the grace period instead
        ([1.0, 1.0, 1.0], {}, None),
    ],
)
def test_the_first_rule_that_stops_decides(
    values: list[float], settings: dict[str, Any], outcome: Outcome | None
) -> None:
    owner = study(pruner=ASHA, policies=[HALVE | settings, DIVERGENCE])
    _, found = train(owner, values, full_rung(0.1))
    assert len(found) == 3
    assert found[-1].decision.outcome is outcome
    assert found[-1].decision.stop == (outcome is not None)
    assert bool(found[-1].grounds) == (outcome is not None)
    if outcome is not None:
        assert is_storable(found[-1].grounds)
        assert found[-1].grounds["reason"] == found[-1].decision.reason != ""


@pytest.mark.parametrize(
    ("last", "settings", "outcome"),
    [
        # the budget's end, though a rung would have pruned it
        (0.9, {}, Outcome.COMPLETE),
        # divergence counts at the end too
        (math.inf, {}, Outcome.DIVERGED),
        # so does convergence
        (1.0, {"patience": 0, "min_lr": 0.09}, Outcome.CONVERGED),
    ],
)
def test_the_last_step(last: float, settings: dict[str, Any], outcome: Outcome) -> None:
    owner = study(pruner=ASHA | {"max": 81}, policies=[HALVE | settings, DIVERGENCE], steps=3)
    _, found = train(owner, [1.0, 0.95, last], full_rung(0.1))
    assert found[-1].decision.outcome is outcome
    assert found[-1].marks == ()
    if outcome is Outcome.COMPLETE:
        assert found[-1].decision.reason == "all 3 steps done"


def test_a_cut_at_the_last_step_is_still_told() -> None:
    _, found = train(study(policies=[HALVE], steps=3), [1.0, 1.0, 1.0])
    assert found[-1].decision.outcome is Outcome.COMPLETE
    assert found[-1].decision.lr_factor == 0.5
    assert len(found[-1].records) == 1


def test_without_a_number_of_steps_there_is_no_natural_end() -> None:
    state, found = train(study(policies=[DIVERGENCE], steps=None), [1.0] * 100)
    assert state.last_step == len(found) == 100


def test_without_policies_a_value_that_is_not_finite_still_stops() -> None:
    _, found = train(study(), [1.0, -math.inf, 1.0])
    assert [j.decision.outcome for j in found] == [None, Outcome.DIVERGED]


@pytest.mark.parametrize("rate", [{}, {"lr": "fast"}, {"lr": True}, {"lr": 0.0}])
def test_a_trial_without_a_rate_is_halved_by_factors(rate: dict[str, Any]) -> None:
    _, found = train(study(policies=[HALVE]), [1.0] * 3, params=rate)
    assert found[-1].decision.lr_factor == 0.5
    assert found[-1].records[0].data["old_rate"] is None


def test_the_rate_is_the_parameter_the_policy_names() -> None:
    _, found = train(study(policies=[HALVE | {"rate": "eta"}]), [1.0] * 3, params={"eta": 3})
    assert found[-1].records[0].data["new_rate"] == 1.5


@pytest.mark.parametrize(
    ("origin", "outcome", "words"),
    [
        (Origin.SAMPLED, Outcome.PRUNED, "cut-off 0.1"),
        (Origin.ENQUEUED, Outcome.PRUNED, "cut-off 0.1"),
        (Origin.FOLK, None, "rule-of-thumb trial, not pruned"),
        (Origin.FINALIST, None, "finalist, not pruned"),
    ],
)
def test_who_is_spared(origin: Origin, outcome: Outcome | None, words: str) -> None:
    _, found = train(study(pruner=ASHA), [1.0, 0.9, 0.8], full_rung(0.1), origin=origin)
    assert found[-1].decision.outcome is outcome
    assert found[-1].decision.reason.endswith(words)
    assert found[-1].marks == (RungMark(0, 0, 3, 0.8),)


def test_a_late_report_is_not_judged() -> None:
    owner = study(**FULL)
    state, _ = train(owner, [1.0, 1.0, 1.0])
    later = state.evolve(reports=(*state.reports, Report(5, 1.0, 0.5)))
    late = later.evolve(reports=(*state.reports, Report(4, math.nan, 0.5), Report(5, 1.0, 0.5)))
    assert steer.judge(owner, late, full_rung(0.1), step=4) == Judgement(
        decision=Decision(lr_factor=0.5)
    )


def test_reports_in_bulk_halve_once() -> None:
    owner, peers = study(policies=[HALVE], steps=None), History()
    state, levels = trial(), []
    for step in range(1, 20):
        state = state.evolve(reports=(*state.reports, Report(step, 1.0, 1.0)))
        judged = steer.judge(owner, state, peers)
        state = applied(state, judged)
        levels.append(judged.decision.lr_factor)
    assert levels == [1.0, 1.0] + [0.5] * 17


@pytest.mark.parametrize(
    ("step", "level"),
    [
        # cuts come with reports 3, 5 and 7; the level after a report holds its own cut
        (0, 1.0),
        (2, 1.0),
        (3, 0.5),
        (4, 0.5),
        (5, 0.25),
        (7, 0.125),
        (99, 0.125),
    ],
)
def test_the_level_after_a_checkpoint(step: int, level: float) -> None:
    owner = study(policies=[HALVE])
    state, _ = train(owner, [1.0] * 8)
    assert steer.level_after(owner, state, step) == level
    assert steer.level_after(study(), state, step) == 1.0


def random_values(rng: random.Random, n: int) -> list[float]:
    return [round(math.exp(-t / 3) + rng.gauss(0, 0.05), 2) for t in range(n)]


def test_decisions_do_not_depend_on_restarts() -> None:
    """Judge with values carried along, and anew from what is stored, at every step."""
    rng = random.Random(0)
    cuts = 0
    for number in range(60):
        owner = study(pruner=ASHA, policies=[HALVE | {"cooldown": number % 3}, DIVERGENCE])
        values, others = random_values(rng, 27), full_rung(0.52)
        state, found = train(owner, values, others, number=number)
        for n, judged in enumerate(found, start=1):
            before = found[n - 2].decision.lr_factor if n > 1 else 1.0
            marks = tuple(m for j in found[: n - 1] for m in j.marks)
            stored = trial(state.reports[:n], number=number, lr_factor=before, marks=marks)
            assert steer.judge(owner, stored, full_rung(0.52)) == judged
            assert steer.level_after(owner, state, n) == judged.decision.lr_factor
            cuts += sum(r.kind is EventKind.HALVED for r in judged.records)
    assert cuts > 60


def test_judging_again_gives_the_level_and_no_record() -> None:
    rng = random.Random(1)
    for _ in range(40):
        owner = study(**FULL)
        state, found = train(owner, random_values(rng, 20), full_rung(9.0))
        again = steer.judge(owner, state, full_rung(9.0))
        assert again.decision.lr_factor == found[-1].decision.lr_factor
        assert (again.records, again.marks) == ((), ())


def test_a_resumed_attempt_repeats_the_decisions_after_its_checkpoint() -> None:
    owner = study(policies=[HALVE], steps=None)
    values = [1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8]
    whole, found = train(owner, values)
    for step in range(len(values)):
        level = steer.level_after(owner, whole, step)
        state = trial([r for r in whole.reports if r.step <= step], lr_factor=level)
        for n, value in enumerate(values[step:], start=step):
            report = Report(n + 1, value, state.lr_factor)
            state = state.evolve(reports=(*state.reports, report))
            judged = steer.judge(owner, state, History())
            assert judged == found[n]
            state = applied(state, judged)


def test_a_late_best_takes_no_cut_back() -> None:
    owner = study(policies=[HALVE], steps=None)
    cut = trial(curve(1.0, 1.0) + curve(1.0, first=4))
    assert steer.judge(owner, cut, History()).decision.lr_factor == 0.5
    late = trial((*curve(1.0, 1.0, 0.5), *curve(1.0, first=4)), lr_factor=0.5)
    assert steer.judge(owner, late, History(), step=3).decision.lr_factor == 0.5
    onward = late.evolve(reports=(*late.reports, Report(5, 0.4, 0.5)))
    assert steer.judge(owner, onward, History()).decision == Decision(lr_factor=0.5)


def test_a_schedule_takes_the_place_of_halving() -> None:
    points = [{"step": 2, "lr_factor": 0.5}, {"step": 4, "lr_factor": 0.8}]
    owner = study(policies=[{"name": "rate_schedule", "points": points}], steps=5)
    state, found = train(owner, [1.0] * 5)
    assert [j.decision.lr_factor for j in found] == [1.0, 0.5, 0.5, 0.8, 0.8]
    assert [len(j.records) for j in found] == [0, 1, 0, 0, 0]
    assert is_storable(found[1].records[0].data)
    assert found[-1].decision.outcome is Outcome.COMPLETE
    assert [steer.level_after(owner, state, n) for n in range(6)] == [1, 1, 0.5, 0.5, 0.8, 0.8]
