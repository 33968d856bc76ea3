"""Halving on a plateau: torch's ReduceLROnPlateau as a fold over a trial's reports."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tuner.decision import Outcome
from tuner.policies import by_hand
from tuner.policies.base import Folded, Record, Verdict, storable
from tuner.spec import HalveOnPlateau, patience_of
from tuner.trial import EventKind, HandCut, Report

_SMALLEST = sys.float_info.min
_SAME_LEVEL = 1e-9


class Plateau(NamedTuple):
    """What the fold knows after a report.

    `rate` is multiplied cut by cut as torch does; `level` is the product of the same factors.
    `bad` and `cooldown` are torch's num_bad_epochs and cooldown_counter; `cuts` are the steps whose
    report brought a cut; `converged` tells that the last report asked for a rate below the lowest.
    """

    best: float
    rate: float
    level: float = 1.0
    bad: int = 0
    cooldown: int = 0
    cuts: tuple[int, ...] = ()
    converged: bool = False


@dataclass(frozen=True, kw_only=True)
class Halving:
    """The rule for one trial.

    Args:
        policy: the study's settings.
        mode: "min" or "max".
        base_rate: the trial's starting rate; None if it has none. Then rates are relative to 1 and
            `min_lr` does not apply.
        given: the lowest level ever decided for the trial. Reports that ran at a lower level than
            the fold knows, but not below this one, are taken as proof of that decision.
        hand: cuts that people made, ordered by step. Each is as one of the policy's own: after it
            patience and cooldown begin anew.
    """

    policy: HalveOnPlateau
    mode: str
    base_rate: float | None
    given: float = 1.0
    hand: Sequence[HandCut] = ()

    def fold(self, reports: Sequence[Report], upto: int | None = None) -> Plateau:
        """Return the state after `reports`, ordered by step, and the cuts by hand up to `upto`."""
        state, done = self.start(), -1
        for report in reports:
            if self.hand:
                state = self.cut_by_hand(state, done, report.step - 1)
            state = self.advance(state, report)
            if self.hand:
                state = self.cut_by_hand(state, report.step - 1, report.step)
            done = report.step
        return self.cut_by_hand(state, done, max(done, 0) if upto is None else upto)

    def start(self) -> Plateau:
        """Return the state before the first report."""
        rate = 1.0 if self.base_rate is None else self.base_rate
        worst = math.inf if self.mode == "min" else -math.inf
        return Plateau(best=worst, rate=rate, cooldown=self.policy.warmup)

    def advance(self, state: Plateau, report: Report) -> Plateau:
        """Return the state after one more report.

        A report that did not run at the level decided so far may set a new best, and counts for
        nothing else: neither as bad, nor for the cooldown.
        """
        if self.given * (1 - _SAME_LEVEL) <= report.lr_factor < state.level * (1 - _SAME_LEVEL):
            state = self._adopt(state, report)
        best, rate, level, bad, cooldown, cuts, _ = state
        better = self._is_better(report.value, best)
        if better:
            best = report.value
        if report.lr_factor != level and not _same(report.lr_factor, level):
            return Plateau(best, rate, level, bad, cooldown, cuts)
        bad = 0 if better else bad + 1
        if cooldown > 0:
            cooldown -= 1
            bad = 0
        state = Plateau(best, rate, level, bad, cooldown, cuts)
        return state if bad <= self.patience else self._cut(state, report.step)

    def _cut(self, state: Plateau, step: int) -> Plateau:
        rate, level = state.rate * self.policy.factor, state.level * self.policy.factor
        rested = state._replace(bad=0, cooldown=self.policy.cooldown)
        if rate < self.lowest or min(rate, level) < _SMALLEST:
            return rested._replace(converged=True)
        if state.rate - rate <= self.policy.eps:
            return rested
        return rested._replace(rate=rate, level=level, cuts=(*state.cuts, step))

    def cut_by_hand(self, state: Plateau, after: int, upto: int) -> Plateau:
        """Return the state with the cuts that people made after `after` and up to `upto`."""
        for cut in by_hand.between(self.hand, after, upto):
            rate, level = state.rate * cut.factor, state.level * cut.factor
            cooldown, cuts = self.policy.cooldown, (*state.cuts, cut.step)
            state = Plateau(state.best, rate, level, 0, cooldown, cuts)
        return state

    def _adopt(self, state: Plateau, report: Report) -> Plateau:
        # A late report can undo a cut in the fold, but not in the training that ran under it.
        rate = self.start().rate * report.lr_factor
        cooldown, cuts = self.policy.cooldown, (*state.cuts, report.step)
        return Plateau(state.best, rate, report.lr_factor, 0, cooldown, cuts)

    @cached_property
    def patience(self) -> int:
        """Reports without improvement that are let pass."""
        return patience_of(self.policy, None)

    @property
    def lowest(self) -> float:
        """The rate below which a trial counts as converged; 0 if its rate is unknown."""
        return 0.0 if self.base_rate is None else self.policy.min_lr

    def _is_better(self, value: float, best: float) -> bool:
        # torch.optim.lr_scheduler.ReduceLROnPlateau._is_better, operation for operation.
        threshold = self.policy.threshold
        if self.policy.threshold_mode == "rel":
            if self.mode == "min":
                return value < best * (1.0 - threshold)
            return value > best * (threshold + 1.0)
        return value < best - threshold if self.mode == "min" else value > best + threshold


def judge(
    policy: HalveOnPlateau,
    mode: str,
    base_rate: float | None,
    reports: Sequence[Report],
    given: float = 1.0,
    *,
    hand: Sequence[HandCut] = (),
    memo: Folded | None = None,
) -> Verdict:
    """Judge the newest report of a lineage ordered by step.

    The verdict's level is never above `given`, the level decided so far. There is a record only for
    a cut that this report brings and that goes below `given`. `memo` is that of the verdict before.
    """
    if not reports:
        return Verdict(lr_factor=given)
    rule = Halving(policy=policy, mode=mode, base_rate=base_rate, given=given, hand=hand)
    earlier, newest = reports[:-1], reports[-1]
    known = memo is not None and memo.reports == earlier and memo.given == (given, hand)
    before = memo.state if memo is not None and known else rule.fold(earlier)
    assert isinstance(before, Plateau)
    done = earlier[-1].step if earlier else 0
    if hand:
        before = rule.cut_by_hand(before, done, newest.step - 1)
    after = rule.advance(before, newest)
    if after.converged:
        return _converged(rule, before, after, newest)
    new = after.level < min(before.level, given)
    records: tuple[Record, ...] = (_halved(rule, before, after, newest),) if new else ()
    state = rule.cut_by_hand(after, newest.step - 1, newest.step)
    level = min(state.level, given)
    if hand:
        met = by_hand.between(hand, done, newest.step)
        records += by_hand.again(met, newest.step, min(after.level, given), level)
    kept = {str(policy.name): Folded(reports, (given, hand), state)}
    return Verdict(lr_factor=level, records=records, cuts=state.cuts, memo=kept)


def _halved(rule: Halving, before: Plateau, after: Plateau, newest: Report) -> Record:
    reason = f"{_waited(before, after)}: {_change(rule, before.rate, after.rate)}"
    data = {
        **_numbers(rule, before, after, newest),
        "reason": reason,
        "new_rate": None if rule.base_rate is None else after.rate,
        "new_factor": after.level,
    }
    return Record(kind=EventKind.HALVED, data=data)


def _converged(rule: Halving, before: Plateau, after: Plateau, newest: Report) -> Verdict:
    lowest = max(rule.lowest, _SMALLEST)
    change = _change(rule, before.rate, before.rate * rule.policy.factor)
    reason = f"{_waited(before, after)}: {change} would pass the lowest rate, {lowest:.6g}"
    grounds = {
        **_numbers(rule, before, after, newest),
        "reason": reason,
        "min_lr": rule.policy.min_lr,
    }
    level = min(after.level, rule.given)
    return Verdict(
        stop=Outcome.CONVERGED, reason=reason, lr_factor=level, grounds=grounds, cuts=after.cuts
    )


def _numbers(
    rule: Halving, before: Plateau, after: Plateau, newest: Report
) -> dict[str, float | int | str | bool | None]:
    return {
        "rule": rule.policy.name,
        "step": newest.step,
        "old_rate": None if rule.base_rate is None else before.rate,
        "old_factor": before.level,
        "value": storable(newest.value),
        "best": storable(after.best),
        "bad": before.bad + 1,
        "patience": rule.patience,
    }


def _waited(before: Plateau, after: Plateau) -> str:
    n = before.bad + 1
    return f"{n} report{'' if n == 1 else 's'} without improvement on {after.best:.6g}"


def _change(rule: Halving, old: float, new: float) -> str:
    name = rule.policy.rate if rule.base_rate is not None else "lr_factor"
    return f"{name} {old:.6g} → {new:.6g}"


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_SAME_LEVEL)
