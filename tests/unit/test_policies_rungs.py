"""Pruning by hand: rungs, grace, what is spared, and what is stored of a judgement."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.histories import History, contest, curve
from tuner import spec
from tuner.decision import Outcome
from tuner.policies import pruning
from tuner.policies.base import Verdict
from tuner.trial import EventKind, RungMark


def asha(**settings: Any) -> spec.AshaPruner:
    return spec.AshaPruner(name="asha", **settings)


def crowd(*values: float, rung: int = 0) -> History:
    peers = History()
    peers.rungs[0, rung] = list(values)
    return peers


@pytest.mark.parametrize(
    ("mode", "others", "value", "promoted", "rank", "cutoff"),
    [
        # alone: the best goes on
        ("min", [], 1.0, True, 1, 1.0),
        # the first eta - 1 trials: only the best so far
        ("min", [0.5], 1.0, False, 2, 0.5),
        ("min", [1.5], 1.0, True, 1, 1.0),
        # 6 at the rung, eta 3: two go on
        ("min", [1, 2, 3, 4, 5], 1.5, True, 2, 1.5),
        ("min", [1, 2, 3, 4, 5], 2.5, False, 3, 2.0),
        # a tie with the last that goes on goes on
        ("min", [1, 2, 3, 4, 5], 2.0, True, 2, 2.0),
        # larger is better
        ("max", [1, 2, 3, 4, 5], 4.5, True, 2, 4.5),
        ("max", [1, 2, 3, 4, 5], 3.5, False, 3, 4.0),
    ],
)
def test_rungs_by_hand(
    mode: str, others: list[float], value: float, promoted: bool, rank: int, cutoff: float
) -> None:
    asked = contest(curve(value, first=3), crowd(*others), mode=mode)
    verdict = pruning.judge(asha(min=3, max=27), asked)
    assert (verdict.stop is None) == promoted
    assert verdict.marks == (RungMark(0, 0, 3, value),)
    data = verdict.records[0].data
    assert (data["rank"], data["cutoff"], data["n"]) == (rank, cutoff, len(others) + 1)


def test_a_rung_is_stored_with_its_numbers() -> None:
    peers = crowd(0.98, 0.5, 2.0, rung=1)
    asked = contest(curve(1.362, first=9), peers, marks=[RungMark(0, 0, 3, 1.4)])
    verdict = pruning.judge(asha(min=3, max=27), asked)
    assert verdict.stop is Outcome.PRUNED
    assert verdict.reason == "rung 9: 1.362, rank 3 of 4, cut-off 0.5"
    assert verdict.records[0].kind is EventKind.RUNG
    assert verdict.grounds == verdict.records[0].data
    assert verdict.grounds == {
        "rule": "asha",
        "bracket": 0,
        "rung": 1,
        "rung_step": 9,
        "step": 9,
        "value": 1.362,
        "cutoff": 0.5,
        "rank": 3,
        "n": 4,
        "promoted": False,
        "reason": "rung 9: 1.362, rank 3 of 4, cut-off 0.5",
    }


def test_there_is_no_rung_at_the_longest_training() -> None:
    marks = [RungMark(0, 0, 3, 1.0), RungMark(0, 1, 9, 1.0)]
    asked = contest(curve(5.0, first=27), crowd(0.1, rung=2), marks=marks)
    assert pruning.judge(asha(min=3, max=27), asked) == Verdict()
    assert pruning.judge(asha(min=3, max=28), asked).stop is Outcome.PRUNED


def test_a_long_stride_is_judged_at_every_rung_it_passed() -> None:
    asked = contest(curve(1.0, first=10), History())
    verdict = pruning.judge(asha(min=1, max=27), asked)
    assert [m.rung for m in verdict.marks] == [0, 1, 2]
    assert [r.data["rung_step"] for r in verdict.records] == [1, 3, 9]


@pytest.mark.parametrize(
    ("grace", "judged"),
    [
        # the cut came with report 4; the rungs lie at 3, 6, 12 and 24
        (0, [3, 6, 12, 24]),  # no grace: judged even at the cut
        (1, [3, 6, 12, 24]),  # 4 and 5 rest
        (2, [3, 7, 12, 24]),  # 4 to 6 rest: rung 6 is judged at the first report after
        (3, [3, 8, 12, 24]),
        (8, [3, 13, 24]),  # 4 to 12 rest: rungs 6 and 12 are both judged at 13
        (50, [3]),
    ],
)
def test_grace_puts_rungs_off(grace: int, judged: list[int]) -> None:
    found: list[int] = []
    marks: tuple[RungMark, ...] = ()
    for step in range(1, 27):
        asked = contest(curve(*[1.0] * step), History(), marks=marks, cuts=[4] * (step >= 4))
        verdict = pruning.judge(asha(min=3, max=27, eta=2, grace=grace), asked)
        marks += verdict.marks
        found += [step] * bool(verdict.marks)
    assert found == judged


@pytest.mark.parametrize(
    ("cuts", "judged"),
    [
        # interval 5: the first report at or after 0, 5, 10, 15
        ([], [1, 5, 10, 15]),
        # a grace of 2 after 4: 4 to 6 rest, and the judgement of 5 is made at 7
        ([4], [1, 7, 10, 15]),
        # 4 to 8 rest
        ([4, 6], [1, 9, 10, 15]),
        # 9 to 11 rest
        ([9], [1, 5, 12, 15]),
    ],
)
def test_grace_puts_intervals_off(cuts: list[int], judged: list[int]) -> None:
    pruner = spec.MedianPruner(name="median", startup=1, interval=5, grace=2)
    peers = History(complete=[dict.fromkeys(range(1, 20), 0.0)])
    stops = [
        step
        for step in range(1, 17)
        if pruning.judge(
            pruner, contest(curve(*[1.0] * step), peers, cuts=[c for c in cuts if c <= step])
        ).stop
    ]
    assert stops == judged


def test_a_spared_trial_competes_and_goes_on() -> None:
    asked = contest(curve(9.0, first=3), crowd(1.0, 2.0), spared="rule-of-thumb trial")
    verdict = pruning.judge(asha(min=3, max=27), asked)
    assert verdict.stop is None
    assert verdict.marks == (RungMark(0, 0, 3, 9.0),)
    data = verdict.records[0].data
    assert data["promoted"] is True
    assert data["reason"] == "rung 3: 9, rank 3 of 3, cut-off 1; rule-of-thumb trial, not pruned"
    best = contest(curve(0.5, first=3), crowd(1.0, 2.0), spared="rule-of-thumb trial")
    reason = pruning.judge(asha(min=3, max=27), best).records[0].data["reason"]
    assert reason == "rung 3: 0.5, rank 1 of 3, cut-off 0.5"


def test_the_median_spares_without_a_word() -> None:
    pruner = spec.MedianPruner(name="median", startup=1)
    peers = History(complete=[{1: 0.0}])
    assert pruning.judge(pruner, contest(curve(1.0), peers)).stop is Outcome.PRUNED
    assert pruning.judge(pruner, contest(curve(1.0), peers, spared="finalist")) == Verdict()


def test_a_median_is_stored_only_where_it_prunes() -> None:
    pruner = spec.MedianPruner(name="median", startup=3)
    peers = History(complete=[{1: 1.0, 2: v} for v in (0.2, 0.4, 0.6)])
    assert pruning.judge(pruner, contest(curve(0.9), peers)) == Verdict()
    assert pruning.judge(pruner, contest(curve(0.9, 0.3), peers)) == Verdict()
    verdict = pruning.judge(pruner, contest(curve(0.9, 0.8), peers))
    assert verdict.stop is Outcome.PRUNED
    assert verdict.marks == ()
    assert verdict.records[0].data == {
        "rule": "median",
        "step": 2,
        "value": 0.8,
        "cutoff": 0.4,
        "rank": 4,
        "n": 4,
        "promoted": False,
        "reason": "step 2: 0.8, rank 4 of 4, cut-off 0.4",
    }


@pytest.mark.parametrize("pruner", [None, spec.NoPruner(name="none")])
def test_no_pruner_prunes_nothing(pruner: spec.NoPruner | None) -> None:
    assert pruning.judge(pruner, contest(curve(9.0, 9.0), crowd(0.0))) == Verdict()
