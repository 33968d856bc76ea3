"""Steering: all of a study's rules over one report, and one decision out of their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from tuner.decision import Action, Decision, Outcome
from tuner.policies import by_hand, divergence, halving, pruning, schedule
from tuner.policies.base import Data, Judgement, Peers, Record, Verdict
from tuner.spec import Divergence, HalveOnPlateau, RateSchedule
from tuner.study import Study
from tuner.trial import Origin, Trial

P = TypeVar("P", Divergence, HalveOnPlateau, RateSchedule)
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

    The rules speak in the order divergence, halving or schedule, the end of the budget, pruning;
    the first that stops decides. Judging the same lineage again, with the marks and the level of
    the first time, gives the same level and no further record.
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
    done = _budget(study, trial)
    if done.stop is not None:
        return _judgement(rated.lr_factor, rated, done)
    contest = pruning.Contest(
        mode=mode,
        study_name=study.name,
        number=trial.number,
        reports=trial.reports,
        marks=trial.marks,
        peers=peers,
        cuts=rated.cuts,
        spared=_SPARED.get(trial.origin, "spared") if trial.never_pruned else "",
    )
    pruned = pruning.judge(study.spec.pruner, contest)
    return _judgement(rated.lr_factor, rated, pruned)


def level_after(study: Study, trial: Trial, step: int) -> float:
    """Return the level with which an attempt starts that resumes after `step` finished steps.

    It is what the lineage up to that step decided; cuts that later reports brought are forgotten,
    and decided anew. Cuts by hand hold from the step on at which they were made.
    """
    given = _policy(study, RateSchedule)
    if given is not None:
        return schedule.level(given, step) * by_hand.level(trial.hand, step)
    policy = _policy(study, HalveOnPlateau)
    if policy is None:
        return by_hand.level(trial.hand, step)
    rule = halving.Halving(
        policy=policy,
        mode=study.spec.objective.mode,
        base_rate=_base_rate(policy, trial),
        given=trial.lr_factor,
        hand=trial.hand,
    )
    return rule.fold([r for r in trial.reports if r.step <= step], step).level


def _steer_rate(study: Study, trial: Trial) -> Verdict:
    given = _policy(study, RateSchedule)
    if given is not None:
        return _by_hand(trial, lambda old: schedule.judge(given, trial.reports, old))
    policy = _policy(study, HalveOnPlateau)
    if policy is None:
        return _by_hand(trial, lambda old: Verdict(lr_factor=old))
    rate, mode = _base_rate(policy, trial), study.spec.objective.mode
    return halving.judge(
        policy, mode, rate, trial.reports, trial.lr_factor, hand=trial.hand, memo=trial.memo
    )


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
    records = () if known else tuple(_relevelled(r, before) for r in verdict.records)
    met = by_hand.between(trial.hand, done, newest)
    records += by_hand.again(met, newest, verdict.lr_factor * before, verdict.lr_factor * after)
    return replace(verdict, lr_factor=verdict.lr_factor * after, records=records)


def _relevelled(record: Record, hand: float) -> Record:
    factors = {k: float(record.data[k] or 0.0) * hand for k in ("old_factor", "new_factor")}
    return replace(record, data={**record.data, **factors})


def _base_rate(policy: HalveOnPlateau, trial: Trial) -> float | None:
    rate = trial.params.get(policy.rate)
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
        memo=next((v.memo for v in verdicts if v.memo is not None), None),
    )
