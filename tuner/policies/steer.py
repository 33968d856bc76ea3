"""Steering: all of a study's rules over one report, and one decision out of their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar, cast

from tuner.decision import Action, Decision, Outcome
from tuner.policies import (
    by_hand,
    divergence,
    halving,
    pruning,
    ratio,
    restarts,
    schedule,
    stopping,
)
from tuner.policies.base import Data, Folded, Judgement, Memo, Peers, Record, Verdict
from tuner.spec import (
    SETS_RATE,
    Divergence,
    EarlyStopping,
    HalveOnPlateau,
    RateSchedule,
    UpdateRatio,
    WarmRestarts,
)
from tuner.study import Study
from tuner.trial import EventKind, Origin, Trial

P = TypeVar("P", Divergence, EarlyStopping)
_SetsRate = HalveOnPlateau | RateSchedule | WarmRestarts | UpdateRatio
_SAME_LEVEL = 1 - 1e-9
_SPARED: Mapping[Origin, str] = {Origin.FOLK: "rule-of-thumb trial", Origin.FINALIST: "finalist"}


def judge(study: Study, trial: Trial, peers: Peers, step: int | None = None) -> Judgement:
    """Judge a report that is already part of `trial.reports`.

    Args:
        study: its normalised document holds the rules.
        trial: with the lineage ordered by step; `marks` and `lr_factor` as they were before.
        peers: the study's other trials.
        step: the report's step; the lineage's last if None. A report that arrives behind a later
            one is stored and judged no more: the level stays as it is.

    The rules speak in the order divergence, the one that sets the rate, early stopping, the end of
    the budget, pruning; the first that stops decides. Judging the same lineage again, with the
    marks and the level of the first time, gives the same level and no further record. A control of
    halving keeps its rate and is not pruned.
    """
    if not trial.reports or (step is not None and step < trial.last_step):
        return Judgement(decision=Decision(lr_factor=trial.lr_factor))
    mode = study.spec.objective.mode
    diverged = divergence.judge(_policy(study, Divergence), mode, trial.reports)
    if diverged.stop is not None:
        return _judgement(trial.lr_factor, diverged)
    rated = _steer_rate(study, trial)
    if rated.stop is not None:
        return _judgement(rated.lr_factor, rated)
    early = stopping.judge(
        _policy(study, EarlyStopping), mode, trial.reports, memo=_memo(trial, "early_stopping")
    )
    done = early if early.stop is not None else _budget(study, trial)
    if done.stop is not None:
        return _judgement(rated.lr_factor, rated, done)
    return _judgement(rated.lr_factor, rated, early, _prune(study, trial, peers, rated.cuts))


def level_after(study: Study, trial: Trial, step: int) -> float:
    """Return the level with which an attempt starts that resumes after `step` finished steps.

    It is what the lineage up to that step decided; cuts that later reports brought are forgotten,
    and decided anew. Cuts by hand hold from the step on at which they were made.
    """
    policy = _sets_rate(study)
    if policy is None or trial.origin is Origin.CONTROL:
        return by_hand.level(trial.hand, step)
    if isinstance(policy, RateSchedule):
        return schedule.level(policy, step) * by_hand.level(trial.hand, step)
    if isinstance(policy, WarmRestarts):
        return restarts.level(policy, step) * by_hand.level(trial.hand, step)
    reports = [r for r in trial.reports if r.step <= step]
    if isinstance(policy, UpdateRatio):
        ran = reports[-1].step - 1 if reports else -1
        since = by_hand.level(trial.hand, step) / by_hand.level(trial.hand, ran)
        return ratio.level_after(policy, reports) * since
    rule = halving.Halving(
        policy=policy,
        mode=study.spec.objective.mode,
        base_rate=_base_rate(policy.rate, trial),
        given=trial.lr_factor,
        hand=trial.hand,
    )
    return rule.fold(reports, step).level


def _steer_rate(study: Study, trial: Trial) -> Verdict:
    policy = _sets_rate(study)
    if policy is None or trial.origin is Origin.CONTROL:
        return _by_hand(trial, lambda old: Verdict(lr_factor=old))
    if isinstance(policy, RateSchedule):
        return _by_hand(trial, lambda old: schedule.judge(policy, trial.reports, old))
    if isinstance(policy, WarmRestarts):
        return _by_hand(trial, lambda old: restarts.judge(policy, trial.reports, old))
    if isinstance(policy, UpdateRatio):
        return _scale(policy, trial)
    rate, mode = _base_rate(policy.rate, trial), study.spec.objective.mode
    memo = _memo(trial, policy.name)
    return halving.judge(
        policy, mode, rate, trial.reports, trial.lr_factor, hand=trial.hand, memo=memo
    )


def _scale(policy: UpdateRatio, trial: Trial) -> Verdict:
    # The rule reads the levels that reports ran at, which have the cuts by hand in them.
    verdict = ratio.judge(policy, _base_rate("lr", trial), trial.reports, trial.lr_factor)
    if not trial.hand:
        return verdict
    newest = trial.last_step
    done = trial.reports[-2].step if len(trial.reports) > 1 else 0
    met = by_hand.between(trial.hand, done, newest)
    level = verdict.lr_factor * by_hand.level(trial.hand, newest) / by_hand.level(trial.hand, done)
    records = verdict.records + by_hand.again(met, newest, verdict.lr_factor, level)
    return replace(verdict, lr_factor=level, records=records)


def _by_hand(trial: Trial, rule: Callable[[float], Verdict]) -> Verdict:
    """Judge by a rule that knows nothing of cuts by hand, on the level that they leave of it.

    Args:
        trial: as for `judge`.
        rule: takes the level decided so far, without the cuts by hand.
    """
    if not trial.hand:
        return rule(trial.lr_factor)
    newest = trial.last_step
    done = trial.reports[-2].step if len(trial.reports) > 1 else 0
    before, after = by_hand.level(trial.hand, done), by_hand.level(trial.hand, newest)
    verdict = rule(trial.lr_factor / before)
    known = verdict.lr_factor * before > trial.lr_factor * _SAME_LEVEL
    told = (r for r in verdict.records if r.kind is not EventKind.HALVED or not known)
    records = tuple(_relevelled(r, before) for r in told)
    met = by_hand.between(trial.hand, done, newest)
    records += by_hand.again(met, newest, verdict.lr_factor * before, verdict.lr_factor * after)
    return replace(verdict, lr_factor=verdict.lr_factor * after, records=records)


def _relevelled(record: Record, hand: float) -> Record:
    factors = {k: float(record.data[k] or 0.0) * hand for k in ("old_factor", "new_factor")}
    return replace(record, data={**record.data, **factors})


def _prune(study: Study, trial: Trial, peers: Peers, cuts: tuple[int, ...]) -> Verdict:
    if trial.origin is Origin.CONTROL:
        return Verdict()
    contest = pruning.Contest(
        mode=study.spec.objective.mode,
        study_name=study.name,
        number=trial.number,
        reports=trial.reports,
        marks=trial.marks,
        peers=peers,
        cuts=cuts,
        spared=_SPARED.get(trial.origin, "spared") if trial.never_pruned else "",
    )
    return pruning.judge(study.spec.pruner, contest)


def _base_rate(name: str, trial: Trial) -> float | None:
    rate = trial.params.get(name)
    if rate is None or isinstance(rate, bool | str) or rate <= 0:
        return None
    return float(rate)


def _budget(study: Study, trial: Trial) -> Verdict:
    steps = study.spec.budget.steps
    if steps is None or trial.last_step < steps:
        return Verdict()
    reason = f"all {steps} steps done"
    grounds: Data = {"rule": "budget", "reason": reason, "step": trial.last_step, "steps": steps}
    return Verdict(stop=Outcome.COMPLETE, reason=reason, grounds=grounds)


def _policy(study: Study, kind: type[P]) -> P | None:
    return next((p for p in study.spec.policies or () if isinstance(p, kind)), None)


def _sets_rate(study: Study) -> _SetsRate | None:
    return next((p for p in study.spec.policies or () if isinstance(p, SETS_RATE)), None)


def _memo(trial: Trial, rule: str) -> Folded | None:
    return cast(Memo, trial.memo or {}).get(rule)


def _judgement(lr_factor: float, *verdicts: Verdict) -> Judgement:
    """Gather verdicts of which at most the last one stops."""
    last = verdicts[-1]
    records = tuple(r for v in verdicts for r in v.records)
    said = [str(r.data["reason"]) for r in records]
    return Judgement(
        decision=Decision(
            action=Action.CONTINUE if last.stop is None else Action.STOP,
            lr_factor=lr_factor,
            reason="; ".join(said) if last.stop is None else last.reason,
            outcome=last.stop,
        ),
        marks=tuple(m for v in verdicts for m in v.marks),
        records=records,
        grounds=last.grounds,
        memo={name: kept for v in verdicts for name, kept in v.memo.items()},
    )
