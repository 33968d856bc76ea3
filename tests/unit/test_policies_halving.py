"""Halving against torch's scheduler, and what torch has no word for."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tests.unit.histories import curve, is_storable
from tuner.decision import Outcome
from tuner.policies import halving
from tuner.policies.base import Verdict
from tuner.spec import HalveOnPlateau
from tuner.trial import EventKind, Report

CURVES = 4000
STEPS = 60


class CountingScheduler(ReduceLROnPlateau):
    """torch's scheduler, which also counts how often it wanted to cut."""

    wanted = 0

    def _reduce_lr(self, epoch: int) -> None:
        self.wanted += 1
        super()._reduce_lr(epoch)


def make(**settings: Any) -> HalveOnPlateau:
    return HalveOnPlateau(name="halve_on_plateau", **settings)


def torch_scheduler(policy: HalveOnPlateau, mode: Any, base: float) -> CountingScheduler:
    weight = torch.nn.Parameter(torch.zeros(1))
    return CountingScheduler(
        torch.optim.SGD([weight], lr=base),
        mode=mode,
        **policy.model_dump(exclude={"name", "rate", "warmup", "control"}),
    )


def rate_of(scheduler: CountingScheduler) -> float:
    return float(scheduler.optimizer.param_groups[0]["lr"])


def random_policy(rng: random.Random) -> HalveOnPlateau:
    return make(
        factor=rng.choice([0.5, 0.2, 0.9, rng.uniform(0.01, 0.99)]),
        patience=rng.choice([0, 0, 1, 2, 3, 5]),
        threshold=rng.choice([0.0, 1e-4, 1e-2, 0.3, 1.0]),
        threshold_mode=rng.choice(["rel", "abs"]),
        cooldown=rng.choice([0, 0, 1, 2, 4]),
        min_lr=rng.choice([0.0, 1e-6, 1e-3, 0.01]),
        eps=rng.choice([0.0, 1e-8, 1e-8, 1e-3]),
    )


def random_curve(rng: random.Random) -> list[float]:
    kinds: list[Callable[[int], float]] = [
        lambda t: math.exp(-t / 8) + rng.gauss(0, 0.02),  # falls, then noise around a floor
        lambda t: 1 - math.exp(-t / 8) + rng.gauss(0, 0.02),  # rises likewise
        lambda t: rng.gauss(0, 1),  # noise on both sides of 0
        lambda t: -5 + math.exp(-t / 5),  # below 0, smooth
        lambda t: float(-(t // 7)),  # stairs of equal values
        lambda t: float(rng.randint(-2, 2)),  # ties
        lambda t: 0.25,  # flat
        lambda t: -0.25,  # flat below 0
        lambda t: rng.uniform(0, 1) ** 8 * 1e6,  # spikes
    ]
    kind = rng.choice(kinds)
    return [kind(t) for t in range(STEPS)]


def compare(
    policy: HalveOnPlateau, mode: str, base: float, values: Sequence[float]
) -> Counter[str]:
    """Run both and compare the rate after every report, up to the stop; count what happened."""
    scheduler = torch_scheduler(policy, mode, base)
    rule = halving.Halving(policy=policy, mode=mode, base_rate=base)
    state, seen = rule.start(), Counter(curves=1)
    for step, value in enumerate(values, start=1):
        old, wanted = rate_of(scheduler), scheduler.wanted
        scheduler.step(value)
        level = state.level
        state = rule.advance(state, Report(step, value, level))
        passes = scheduler.wanted > wanted and old * policy.factor < policy.min_lr
        assert state.converged == passes
        if passes:
            assert rate_of(scheduler) in (old, policy.min_lr)
            return seen + Counter(reports=step, stops=1)
        assert base * state.level == pytest.approx(rate_of(scheduler), rel=1e-12, abs=0)
        seen += Counter(cuts=int(state.level < level), left_out=0)
        if scheduler.wanted > wanted and state.level == level:
            seen += Counter(left_out=1)
    return seen + Counter(reports=len(values))


def test_rates_equal_torch_on_random_curves_until_the_lowest_rate() -> None:
    rng = random.Random(0)
    seen: Counter[str] = Counter()
    for _ in range(CURVES):
        base = 10 ** rng.uniform(-4, 0.5)
        seen += compare(random_policy(rng), rng.choice(["min", "max"]), base, random_curve(rng))
    assert seen["curves"] == CURVES
    assert seen["cuts"] > CURVES
    assert seen["stops"] > CURVES / 5
    assert seen["left_out"] > CURVES / 5  # by eps


def test_rates_equal_torch_after_two_thousand_cuts() -> None:
    policy = make(factor=0.999, patience=0, eps=0.0)
    assert compare(policy, "min", 0.3, [1.0] * 2001)["cuts"] == 2000


def test_judging_report_by_report_gives_the_fold() -> None:
    rng = random.Random(1)
    cuts = 0
    for _ in range(150):
        policy, mode = random_policy(rng), rng.choice(["min", "max"])
        rule = halving.Halving(policy=policy, mode=mode, base_rate=0.1)
        reports: list[Report] = []
        state, given = rule.start(), 1.0
        for step, value in enumerate(random_curve(rng), start=1):
            reports.append(Report(step, value, given))
            state = rule.advance(state, reports[-1])
            verdict = halving.judge(policy, mode, 0.1, reports, given)
            again = halving.judge(policy, mode, 0.1, reports, verdict.lr_factor)
            assert verdict.lr_factor == again.lr_factor == state.level
            assert (verdict.stop is Outcome.CONVERGED) == state.converged
            assert len(verdict.records) == (state.level < given)
            assert again.records == ()
            assert verdict.cuts == state.cuts
            given = verdict.lr_factor
            cuts += len(verdict.records)
            if state.converged:
                break
    assert cuts > 150


def follow(policy: HalveOnPlateau, values: Sequence[float], mode: str = "min") -> list[float]:
    """Return the level after each report of a trial that applies each decision at once."""
    rule = halving.Halving(policy=policy, mode=mode, base_rate=0.1)
    state = rule.start()
    levels = []
    for step, value in enumerate(values, start=1):
        state = rule.advance(state, Report(step, value, state.level))
        levels.append(state.level)
    return levels


@pytest.mark.parametrize(
    ("settings", "values", "levels"),
    [
        # the first report is a best; with patience 0 each further bad one cuts
        ({"patience": 0}, [1, 1, 1, 1], [1, 0.5, 0.25, 0.125]),
        # patience 2: the third bad report cuts, and the count starts anew
        ({"patience": 2}, [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
        # an improvement in between starts the count anew
        ({"patience": 1}, [1, 1, 0.9, 0.9, 0.9], [1, 1, 1, 1, 0.5]),
        # cooldown 2: two reports after the cut are not counted
        ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.25]),
        # rel 0.1 of 1.0: 0.95 is no improvement
        ({"patience": 0, "threshold": 0.1}, [1, 0.95], [1, 0.5]),
        # rel 0.1 of 1.0: 0.89 is one
        ({"patience": 0, "threshold": 0.1}, [1, 0.89], [1, 1]),
        # rel with negative values: -1 * 0.9 = -0.9, so that even -0.95 is an improvement
        ({"patience": 0, "threshold": 0.1}, [-1, -0.95, -0.95], [1, 1, 1]),
        # abs 0.1: -1.05 is no improvement on -1, -1.2 is
        (
            {"patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
            [-1, -1.05, -1.2],
            [1, 0.5, 0.5],
        ),
        # eps 0.03: 0.1 to 0.05 is a cut, 0.05 to 0.025 is left out
        ({"patience": 0, "eps": 0.03}, [1, 1, 1, 1], [1, 0.5, 0.5, 0.5]),
        # a fifth
        ({"patience": 0, "factor": 0.2}, [1, 1], [1, 0.2]),
    ],
)
def test_levels_by_hand(settings: dict[str, Any], values: list[float], levels: list[float]) -> None:
    assert follow(make(**settings), values) == levels


@pytest.mark.parametrize(
    ("min_lr", "stops_at"),
    [
        (0.0, None),  # never
        (0.05, 3),  # 0.05 itself is allowed; the cut to 0.025 is not
        (0.04, 3),  # torch would set 0.04 here
        (0.06, 2),  # the first cut passes it
        (0.2, 2),  # the start lies below it: the first plateau ends the trial
    ],
)
def test_the_lowest_rate(min_lr: float, stops_at: int | None) -> None:
    policy = make(patience=0, min_lr=min_lr)
    given, reports, stop = 1.0, [], None
    for step in range(1, 6):
        reports.append(Report(step, 1.0, given))
        verdict = halving.judge(policy, "min", 0.1, reports, given)
        given = verdict.lr_factor
        if verdict.stop is not None:
            stop = step
            assert verdict.records == ()
            assert is_storable(verdict.grounds)
            break
    assert stop == stops_at


def test_without_a_rate_levels_are_relative_and_nothing_is_lowest() -> None:
    rule = halving.Halving(policy=make(patience=0, min_lr=0.5), mode="min", base_rate=None)
    assert rule.fold(curve(1.0) + curve(1.0, first=2)).level == 0.5
    verdict = halving.judge(make(patience=0, min_lr=0.5), "min", None, curve(1.0, 1.0))
    assert verdict.stop is None
    assert verdict.records[0].data["new_rate"] is None


def test_a_level_never_becomes_zero() -> None:
    policy = make(patience=0, eps=0.0, factor=0.01)
    rule = halving.Halving(policy=policy, mode="min", base_rate=1e10)
    state = rule.start()
    for step in range(1, 1000):
        if state.converged:
            break
        state = rule.advance(state, Report(step, 1.0, state.level))
    assert state.converged
    assert state.level >= sys.float_info.min


@pytest.mark.parametrize(
    ("in_force", "levels"),
    [
        # applied at once
        ([1, 1, 0.5, 0.25, 0.125], [1, 0.5, 0.25, 0.125, 0.0625]),
        # applied two reports late: those two count for nothing
        ([1, 1, 1, 1, 0.5, 0.25], [1, 0.5, 0.5, 0.5, 0.25, 0.125]),
        # never applied, as in a bulk of old reports: one cut only
        ([1, 1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.5, 0.5]),
        # applied to within rounding
        ([1, 1, 0.5 + 1e-12], [1, 0.5, 0.25]),
        # a level nobody decided is not in force
        ([1, 1, 0.3, 0.3], [1, 0.5, 0.5, 0.5]),
    ],
)
def test_no_cut_before_the_last_one_is_applied(in_force: list[float], levels: list[float]) -> None:
    reports = [Report(i, 1.0, level) for i, level in enumerate(in_force, start=1)]
    rule = halving.Halving(policy=make(patience=0), mode="min", base_rate=0.1)
    assert [rule.fold(reports[:n]).level for n in range(1, len(reports) + 1)] == levels


def test_reports_at_the_old_rate_do_not_cool_down_but_may_be_best() -> None:
    policy = make(patience=0, cooldown=1)
    rule = halving.Halving(policy=policy, mode="min", base_rate=0.1)
    stale = (*curve(1.0, 1.0), *curve(1.0, 0.7, first=3))
    assert rule.fold(stale).cooldown == 1
    assert rule.fold(stale).best == 0.7
    cooled = (*stale, *curve(0.9, level=0.5, first=5))
    assert rule.fold(cooled).level == 0.5
    assert rule.fold((*cooled, *curve(0.9, level=0.5, first=6))).level == 0.25


def test_a_late_report_takes_no_cut_back() -> None:
    policy = make(patience=1)
    before = curve(1.0, 1.0) + curve(1.0, first=4)
    assert halving.judge(policy, "min", 0.1, before).lr_factor == 0.5
    late = (*curve(1.0, 1.0, 0.5), *curve(1.0, first=4))
    assert halving.Halving(policy=policy, mode="min", base_rate=0.1).fold(late).level == 1.0
    assert halving.judge(policy, "min", 0.1, late, given=0.5).lr_factor == 0.5
    onward = late + curve(0.6, 0.6, level=0.5, first=5)
    verdict = halving.judge(policy, "min", 0.1, onward, given=0.5)
    assert verdict.lr_factor == 0.25
    assert verdict.records[0].data["old_factor"] == 0.5


def test_the_lineage_of_two_attempts() -> None:
    first = curve(1.0, 1.0) + curve(0.9, level=0.5, first=3)
    second = curve(0.9, level=0.5, first=4)
    rule = halving.Halving(policy=make(patience=0), mode="min", base_rate=0.1)
    assert rule.fold(first + second).level == 0.25
    assert rule.fold(first + second).cuts == (2, 4)


def test_a_cut_is_stored_with_its_numbers() -> None:
    verdict = halving.judge(make(patience=1), "min", 0.1, curve(0.5, 0.6, 0.7))
    assert verdict == Verdict(lr_factor=0.5, records=verdict.records, cuts=(3,))
    record = verdict.records[0]
    assert record.kind is EventKind.HALVED
    assert is_storable(record.data)
    assert record.data == {
        "rule": "halve_on_plateau",
        "reason": "2 reports without improvement on 0.5: lr 0.1 → 0.05",
        "step": 3,
        "old_rate": 0.1,
        "new_rate": 0.05,
        "old_factor": 1.0,
        "new_factor": 0.5,
        "value": 0.7,
        "best": 0.5,
        "bad": 2,
        "patience": 1,
    }


def test_the_end_is_stored_with_its_numbers() -> None:
    verdict = halving.judge(make(patience=0, min_lr=0.06), "max", 0.1, curve(0.5, 0.4))
    assert verdict.stop is Outcome.CONVERGED
    assert verdict.lr_factor == 1.0
    assert verdict.reason == (
        "1 report without improvement on 0.5: lr 0.1 → 0.05 would pass the lowest rate, 0.06"
    )
    assert verdict.grounds["min_lr"] == 0.06
    assert verdict.grounds["old_rate"] == 0.1


def test_nothing_reported_nothing_decided() -> None:
    assert halving.judge(make(), "min", 0.1, (), given=0.25) == Verdict(lr_factor=0.25)
