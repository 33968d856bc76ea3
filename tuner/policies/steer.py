"""Steering: all of a study's rules over one report, and one decision out of their verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

from tuner.decision import Action, Decision, Outcome
from tuner.policies import divergence, halving, pruning, ratio, restarts, schedule, stopping
from tuner.policies.base import Data, Folded, Judgement, Memo, Peers, Verdict
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
from tuner.trial import Origin, Trial

P = TypeVar("P", Divergence, EarlyStopping)
_SetsRate = HalveOnPlateau | RateSchedule | WarmRestarts | UpdateRatio
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
    and decided anew.
    """
    policy = _sets_rate(study)
    if policy is None or trial.origin is Origin.CONTROL:
        return 1.0
    if isinstance(policy, RateSchedule):
        return schedule.level(policy, step)
    if isinstance(policy, WarmRestarts):
        return restarts.level(policy, step)
    reports = [r for r in trial.reports if r.step <= step]
    if isinstance(policy, UpdateRatio):
        return ratio.level_after(policy, reports)
    rule = halving.Halving(
        policy=policy,
        mode=study.spec.objective.mode,
        base_rate=_base_rate(policy.rate, trial),
        given=trial.lr_factor,
    )
    return rule.fold(reports).level


def _steer_rate(study: Study, trial: Trial) -> Verdict:
    policy, given = _sets_rate(study), trial.lr_factor
    if trial.origin is Origin.CONTROL:
        return Verdict(lr_factor=given)
    if isinstance(policy, RateSchedule):
        return schedule.judge(policy, trial.reports, given)
    if isinstance(policy, WarmRestarts):
        return restarts.judge(policy, trial.reports, given)
    if isinstance(policy, UpdateRatio):
        return ratio.judge(policy, _base_rate("lr", trial), trial.reports, given)
    if policy is None:
        return Verdict(lr_factor=given)
    rate, mode = _base_rate(policy.rate, trial), study.spec.objective.mode
    memo = _memo(trial, policy.name)
    return halving.judge(policy, mode, rate, trial.reports, given, memo=memo)


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
