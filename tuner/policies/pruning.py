"""Pruning: Optuna's rules over the values of a study's other trials.

Inside: the rungs of asha and hyperband, then the percentile rule, then `judge`, which picks.
"""

from __future__ import annotations

import binascii
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.decision import Outcome
from tuner.policies.base import Data, Peers, Record, Verdict, storable
from tuner.spec import (
    AshaPruner,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    PercentilePruner,
    Pruner,
)
from tuner.trial import EventKind, Report, RungMark


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What a pruner looks at.

    Args:
        mode: "min" or "max".
        study_name, number: the trial's identity, which draws its bracket.
        reports: the trial's lineage, ordered by step; its last one is judged.
        marks: the rungs the trial was judged at.
        peers: the other trials.
        cuts: steps of the trial's halvings.
        spared: why the trial is never stopped; empty if it may be.
    """

    mode: str
    study_name: str
    number: int
    reports: Sequence[Report]
    marks: Sequence[RungMark]
    peers: Peers
    cuts: Sequence[int] = ()
    spared: str = ""

    def rests(self, step: int, grace: int) -> bool:
        """Tell whether a step lies in the grace period of a halving."""
        return grace > 0 and any(cut <= step <= cut + grace for cut in reversed(self.cuts))

    def rank(self, value: float, values: Sequence[float]) -> int:
        """Return 1 plus the number of strictly better ones among values in ascending order."""
        if self.mode == "min":
            return 1 + bisect_left(values, value)
        return 1 + len(values) - bisect_right(values, value)


def judge(pruner: Pruner | None, contest: Contest) -> Verdict:
    """Judge the newest report; within the grace period of a halving, do nothing.

    A trial that is spared gets its marks, so that it competes, and a record that says where it
    would have been pruned at a rung.
    """
    if not contest.reports or pruner is None or isinstance(pruner, NoPruner):
        return Verdict()
    if contest.rests(contest.reports[-1].step, pruner.grace):
        return Verdict()
    if isinstance(pruner, AshaPruner):
        return _judge_rungs(pruner, 0, contest)
    if isinstance(pruner, HyperbandPruner):
        bracket = bracket_of(pruner, contest.study_name, contest.number)
        return _judge_rungs(pruner, bracket, contest)
    return Verdict() if contest.spared else _judge_percentile(pruner, contest)


# Rungs: asha and hyperband


def bracket_of(pruner: HyperbandPruner, study_name: str, number: int) -> int:
    """Return a trial's bracket, as `optuna.pruners.HyperbandPruner` draws it.

    The floating-point logarithm is part of that: for a ratio of 243 and eta 3 it falls below 5.
    """
    first, longest = pruner.min or 1, pruner.max or pruner.min or 1
    brackets = math.floor(math.log(longest / first, pruner.eta)) + 1
    shares = [math.ceil(brackets * pruner.eta**s / (s + 1)) for s in range(brackets - 1, -1, -1)]
    ticket = binascii.crc32(f"{study_name}_{number}".encode()) % sum(shares)
    bracket = 0
    while ticket >= shares[bracket]:
        ticket -= shares[bracket]
        bracket += 1
    return bracket


def rung_step(pruner: AshaPruner | HyperbandPruner, bracket: int, rung: int) -> int | None:
    """Return the step of a rung, None from the longest training on: no training is left there."""
    step = (pruner.min or 1) * pruner.eta ** (bracket + rung)
    return step if pruner.max is None or step < pruner.max else None


def _judge_rungs(pruner: AshaPruner | HyperbandPruner, bracket: int, contest: Contest) -> Verdict:
    newest = contest.reports[-1]
    done = {m.rung for m in contest.marks if m.bracket == bracket}
    rung = next(k for k in range(len(done) + 1) if k not in done)
    marks: list[RungMark] = []
    records: list[Record] = []
    while True:
        at = rung_step(pruner, bracket, rung)
        if at is None or newest.step < at:
            return Verdict(marks=tuple(marks), records=tuple(records))
        place: Data = {"rule": pruner.name, "bracket": bracket, "rung": rung, "rung_step": at}
        found = _compare(pruner.eta, bracket, rung, contest)
        reason = _sentence(f"rung {at}", found, contest.spared)
        promoted = bool(found["promoted"] or contest.spared)
        data = {**place, **found, "promoted": promoted, "reason": reason}
        records.append(Record(kind=EventKind.RUNG, data=data))
        if not math.isnan(newest.value):
            marks.append(RungMark(bracket, rung, newest.step, newest.value))
        if not promoted:
            return _pruned(records, marks)
        rung += 1


def _compare(eta: int, bracket: int, rung: int, contest: Contest) -> Data:
    # Optuna's rule: the best n // eta go on, and the best one always does.
    newest = contest.reports[-1]
    if math.isnan(newest.value):
        return _finding(newest.step, newest.value, math.nan, 0, 0, promoted=False)
    others = contest.peers.at_rung(bracket, rung)
    n = len(others) + 1
    places = max(n // eta, 1)
    rank = contest.rank(newest.value, others)
    promoted = rank <= places
    cutoff = _last_place(contest, others, places)
    return _finding(newest.step, newest.value, cutoff, rank, n, promoted=promoted)


def _last_place(contest: Contest, others: Sequence[float], places: int) -> float:
    """Return the worst value that goes on, the newest one counted among the others."""
    newest = contest.reports[-1].value
    if contest.mode == "min":
        better = others[places - 2] if places > 1 else -math.inf
        return max(better, min(newest, others[places - 1] if places <= len(others) else math.inf))
    better = others[1 - places] if places > 1 else math.inf
    return min(better, max(newest, others[-places] if places <= len(others) else -math.inf))


# Percentiles: median and percentile


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return numpy's linear percentile of ascending values, at least one; rounding included."""
    virtual = (len(ordered) - 1) * (percent / 100)
    lower = math.floor(virtual)
    if lower >= len(ordered) - 1:
        return ordered[-1]
    a, b, t = ordered[lower], ordered[lower + 1], virtual - lower
    return b - (b - a) * (1 - t) if t >= 0.5 else a + (b - a) * t


def _judge_percentile(pruner: MedianPruner | PercentilePruner, contest: Contest) -> Verdict:
    newest = contest.reports[-1]
    complete = contest.peers.complete_count()
    if complete == 0 or complete < pruner.startup or not _is_due(pruner, contest):
        return Verdict()
    found: Data
    own = [r.value for r in contest.reports if not math.isnan(r.value)]
    others = contest.peers.complete_at(newest.step)
    if not own:
        found = _finding(newest.step, math.nan, math.nan, 0, len(others), promoted=False)
    elif not others:
        return Verdict()
    else:
        value = min(own) if contest.mode == "min" else max(own)
        found = _compare_percentile(pruner, value, others, contest)
    if found["promoted"]:
        return Verdict()
    reason = _sentence(f"step {newest.step}", found, "")
    data = {"rule": pruner.name, **found, "reason": reason}
    return _pruned([Record(kind=EventKind.RUNG, data=data)])


def _is_due(pruner: MedianPruner | PercentilePruner, contest: Contest) -> bool:
    # The first report at or after each `warmup + k * interval`, those in a grace period left out.
    step = contest.reports[-1].step
    if step < pruner.warmup:
        return False
    due = (step - pruner.warmup) // pruner.interval * pruner.interval + pruner.warmup
    earlier = (r.step for r in reversed(contest.reports[:-1]))
    return next((s for s in earlier if not contest.rests(s, pruner.grace)), -1) < due


def _compare_percentile(
    pruner: MedianPruner | PercentilePruner, value: float, others: Sequence[float], contest: Contest
) -> Data:
    percent = pruner.percentile if isinstance(pruner, PercentilePruner) else 50.0
    cutoff = percentile(others, percent if contest.mode == "min" else 100 - percent)
    promoted = value <= cutoff if contest.mode == "min" else value >= cutoff
    rank, n = contest.rank(value, others), len(others) + 1
    return _finding(contest.reports[-1].step, value, cutoff, rank, n, promoted=promoted)


# What is stored


def _finding(
    step: int, value: float, cutoff: float, rank: int, n: int, *, promoted: bool
) -> dict[str, float | int | str | bool | None]:
    return {
        "step": step,
        "value": storable(value),
        "cutoff": storable(cutoff),
        "rank": rank or None,
        "n": n,
        "promoted": promoted,
    }


def _sentence(where: str, found: Data, spared: str) -> str:
    text = f"{where}: nan"
    if found["value"] is not None and found["cutoff"] is not None:
        text = (
            f"{where}: {found['value']:.6g}, rank {found['rank']} of {found['n']}, "
            f"cut-off {found['cutoff']:.6g}"
        )
    return f"{text}; {spared}, not pruned" if spared and not found["promoted"] else text


def _pruned(records: Sequence[Record], marks: Sequence[RungMark] = ()) -> Verdict:
    data = records[-1].data
    return Verdict(
        stop=Outcome.PRUNED,
        reason=str(data["reason"]),
        marks=tuple(marks),
        records=tuple(records),
        grounds=data,
    )
