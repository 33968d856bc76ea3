"""What the analysis of a study is drawn from: importances, rungs, causes of failures."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from api.charts.endings import cause, causes, endings
from api.charts.importance import LEAST_TRIALS, Importances, importances, measured
from tests.unit.histories import curve, study, trial
from tuner.decision import Outcome
from tuner.handle import ParamValue
from tuner.spec import check
from tuner.study import Study
from tuner.trial import Origin, RungMark, Trial, TrialState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = {
    "lr": {"min": 1e-4, "max": 1.0, "log": True},
    "width": {"min": 8, "max": 64},
    "act": {"values": ["relu", "gelu"]},
    "fixed": {"value": 3},
}


def searched(mode: str = "min") -> Study:
    document = {
        "objective": {"metric": "loss", "mode": mode},
        "run": "external",
        "space": SPACE,
        "budget": {"trials": 100},
    }
    return Study(study_id=1, name="s", spec=check(document), created_at=NOW)


def ended(number: int, value: float | None, **changes: object) -> Trial:
    given = {"state": TrialState.ENDED, "outcome": Outcome.COMPLETE, "value": value}
    return trial(number=number).evolve(**(given | changes))


def sampled(n: int, sign: float = 1.0) -> list[Trial]:
    """Return trials whose value hangs on `lr` alone."""
    draw = random.Random(0)
    found = []
    for number in range(n):
        params: dict[str, ParamValue] = {
            "lr": 10 ** draw.uniform(-4, 0),
            "width": draw.randint(8, 64),
            "act": draw.choice(["relu", "gelu"]),
            "fixed": 3,
        }
        value = sign * (math.log10(float(params["lr"])) + 2) ** 2
        found.append(ended(number, value, params=params))
    return found


@pytest.mark.parametrize(("mode", "sign"), [("min", 1.0), ("max", -1.0)])
def test_what_the_value_hangs_on_is_most_important(mode: str, sign: float) -> None:
    found = importances(searched(mode), sampled(60, sign))
    assert next(iter(found)) == "lr"
    assert found["lr"] > 0.5
    assert sum(found.values()) == pytest.approx(1.0)
    assert "fixed" not in found


def test_values_outside_the_present_space_and_absent_ones_are_taken_in() -> None:
    trials = sampled(60)
    wide = trials[0].evolve(params={**trials[0].params, "lr": 5.0, "width": 500})
    bare = trials[1].evolve(params={"lr": 0.01})
    assert next(iter(importances(searched(), [wide, bare, *trials[2:]]))) == "lr"


def test_only_trials_whose_values_compare_are_measured() -> None:
    trials = [
        ended(0, 0.5),
        ended(1, 0.5, outcome=Outcome.PRUNED),
        ended(2, math.inf),
        ended(3, None),
        ended(4, 0.5, origin=Origin.FINALIST),
        ended(5, 0.5, outcome=Outcome.CONVERGED),
    ]
    assert [t.number for t in measured(trials)] == [0, 5]


class Gate:
    """A computation that waits to be let through."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.counts: list[int] = []

    def __call__(self, _: Study, trials: Sequence[Trial]) -> Mapping[str, float]:
        assert self.open.wait(30)
        self.counts.append(len(trials))
        return {"lr": 1.0}


async def settled(known: Importances, trials: Sequence[Trial]) -> str:
    while (found := known.of(searched(), trials, NOW)).state == "computing":
        await asyncio.sleep(0)
    return found.state


def test_asking_never_waits_and_what_is_old_is_shown_with_its_age() -> None:
    async def scene() -> None:
        gate, trials = Gate(), sampled(LEAST_TRIALS + 2)
        known = Importances(gate)
        assert known.of(searched(), trials[:-2], NOW).state == "computing"
        assert known.of(searched(), trials[:-2], NOW).state == "computing"
        gate.open.set()
        assert await settled(known, trials[:-2]) == "ready"
        later = known.of(searched(), trials, NOW)
        assert (later.state, later.n, later.behind) == ("ready", LEAST_TRIALS, 2)
        assert later.at == NOW
        while known.of(searched(), trials, NOW).behind:
            await asyncio.sleep(0)
        assert gate.counts == [LEAST_TRIALS, LEAST_TRIALS + 2]
        await known.close()

    asyncio.run(scene())


def test_too_few_trials_are_said_to_be_too_few() -> None:
    found = Importances().of(searched(), sampled(4), NOW)
    assert (found.state, found.n) == ("unavailable", 4)
    assert found.why.startswith("4 of the 10 trials")


def test_a_computation_that_breaks_leaves_the_rest_alone() -> None:
    def broken(_: Study, __: Sequence[Trial]) -> Mapping[str, float]:
        raise ArithmeticError

    async def scene() -> None:
        known = Importances(broken)
        assert await settled(known, sampled(LEAST_TRIALS)) == "unavailable"
        await known.close()

    asyncio.run(scene())


@pytest.mark.parametrize(("mode", "cutoff"), [("min", 0.2), ("max", 0.5)])
def test_the_funnel_counts_who_reached_a_rung_and_who_went_no_further(
    mode: str, cutoff: float
) -> None:
    halving = study(pruner={"name": "asha", "min": 3, "max": 27, "eta": 3}, mode=mode)
    trials = [
        trial(curve(*[v] * 3), number=n, marks=(RungMark(0, 0, 3, v),)).evolve(
            state=TrialState.ENDED, outcome=Outcome.PRUNED
        )
        for n, v in enumerate((0.3, 0.4, 0.5, 0.6))
    ]
    marks = (RungMark(0, 0, 3, 0.2), RungMark(0, 1, 9, 0.1))
    trials.append(trial(curve(*[0.2] * 27), number=4, marks=marks))
    trials.append(trial(curve(*[0.2] * 3), number=5, marks=marks[:1]))
    found = endings(halving, trials)
    assert [(r.step, r.reached, r.pruned) for r in found.rungs] == [(3, 6, 4), (9, 1, 0)]
    assert found.rungs[0].cutoff == cutoff
    assert found.rungs[0].saved == found.saved["pruned"] == 4 * (27 - 3)
    assert found.trained == 4 * 3 + 27 + 3


def test_a_pruner_without_rungs_shows_the_steps_at_which_it_pruned() -> None:
    trials = [
        trial(curve(*[0.5] * n), number=n).evolve(state=TrialState.ENDED, outcome=outcome)
        for n, outcome in ((2, Outcome.PRUNED), (5, Outcome.PRUNED), (9, Outcome.COMPLETE))
    ]
    found = endings(study(pruner={"name": "median"}), trials).rungs
    assert [(r.step, r.reached, r.pruned, r.cutoff) for r in found] == [
        (2, 3, 1, None),
        (5, 2, 1, None),
    ]


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("Traceback\n  File x\nValueError: width 7 is odd\n", "ValueError: width … is odd"),
        ("exit code 137", "exit code …"),
        ("at 0xdeadBEEF after 1.5e-3 s", "at … after … s"),
        (" \n", "no reason was given"),
    ],
)
def test_a_cause_is_the_last_line_without_its_numbers(reason: str, name: str) -> None:
    assert cause(reason) == name


def test_failures_are_grouped_by_outcome_and_cause_the_most_frequent_first() -> None:
    trials = [
        ended(0, None, outcome=Outcome.FAILED, reason="KeyError: 1"),
        ended(1, None, outcome=Outcome.OOM, reason="out of memory"),
        ended(2, None, outcome=Outcome.FAILED, reason="KeyError: 2"),
        ended(3, 0.5),
        ended(4, None, outcome=Outcome.PRUNED, reason="rung 3"),
    ]
    found = causes(trials)
    assert [(c.outcome, c.cause, c.n, c.numbers) for c in found] == [
        (Outcome.FAILED, "KeyError: …", 2, [0, 2]),
        (Outcome.OOM, "out of memory", 1, [1]),
    ]
    assert found[0].reason == "KeyError: 2"
