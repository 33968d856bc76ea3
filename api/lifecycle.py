"""How trials end and how studies move on: rules applied inside a ledger command."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from api import controls, finalists, followups
from storage import Listing, Reader, Transaction
from tuner.decision import Outcome
from tuner.study import Study
from tuner.trial import (
    AttemptEnd,
    EndReason,
    Event,
    EventKind,
    Origin,
    StudyState,
    Trial,
    TrialState,
    objective_value,
    trial_seed,
)

VALUED = frozenset({Outcome.COMPLETE, Outcome.CONVERGED, Outcome.PRUNED})
_REQUEUED = {
    AttemptEnd.FAILED: EventKind.RETRIED,
    AttemptEnd.LOST: EventKind.LOST,
    AttemptEnd.RELEASED: EventKind.RELEASED,
}


class Tally(NamedTuple):
    """How many trials of a study wait, run, failed, and belong to the search."""

    waiting: int
    running: int
    failed: int
    searched: int


def tally(reader: Reader, study_id: int) -> Tally:
    """Count a study's trials."""
    found = {x: len(reader.listed(study_id, x)) for x in Listing}
    beside = found[Listing.FINALIST] + found[Listing.CONTROL]
    searched = reader.next_number(study_id) - beside
    return Tally(found[Listing.WAITING], found[Listing.RUNNING], found[Listing.FAILED], searched)


def hours_over(study: Study, now: datetime) -> bool:
    """Tell whether the study has used up `budget.hours`."""
    hours = study.spec.budget.hours
    if hours is None or study.started_at is None:
        return False
    return now - study.started_at >= timedelta(hours=hours)


def end_by_hours(tx: Transaction, study_id: int, now: datetime) -> Study:
    """Stop a study that has used up `budget.hours`."""
    study = tx.study(study_id)
    if not study.is_over and study.stopping is None and hours_over(study, now):
        stop(tx, study, EndReason.BUDGET, "the hours are used up", now)
    return settle(tx, study_id, now)


def end_trial(
    tx: Transaction,
    study: Study,
    trial: Trial,
    outcome: Outcome,
    now: datetime,
    *,
    reason: str,
    value: float | None = None,
    data: Mapping[str, Any] | None = None,
) -> Trial:
    """End a trial and, if it was due, its study.

    Without `value`, the outcomes complete, converged and pruned take it from the reports. `data`
    goes into the event that tells of the end.

    Raises:
        TrialEnded: it has ended before.
    """
    ended = _end(tx, study, trial, outcome, now, reason=reason, value=value, data=data)
    settle(tx, study.study_id, now)
    return ended


def _end(
    tx: Transaction,
    study: Study,
    trial: Trial,
    outcome: Outcome,
    now: datetime,
    *,
    reason: str,
    value: float | None = None,
    data: Mapping[str, Any] | None = None,
) -> Trial:
    if value is None and outcome in VALUED:
        objective = study.spec.objective
        value = objective_value(trial.reports, objective.mode, objective.value)
    if trial.lease is not None:
        tx.close_attempt(trial, AttemptEnd.ENDED, now)
    ended = trial.evolve(
        state=TrialState.ENDED,
        outcome=outcome,
        reason=reason,
        value=value,
        lease=None,
        memo=None,
        course=None,
        ended_at=now,
    )
    tx.put_trial(ended)
    tx.add_event(
        Event(
            study_id=trial.study_id,
            kind=EventKind.ENDED,
            at=now,
            number=trial.number,
            attempt=trial.attempt or None,
            step=trial.last_step,
            data={**(data or {}), "outcome": outcome.value, "reason": reason, "value": value},
        )
    )
    controls.compare(tx, study, ended, now)
    return ended


def requeue(
    tx: Transaction,
    trial: Trial,
    end: AttemptEnd,
    now: datetime,
    *,
    reason: str,
    data: Mapping[str, Any] | None = None,
) -> Trial:
    """Close a trial's attempt and put it back into the queue; `failures` grows unless released.

    Returns the trial as it stands then: cancelled, if its study is stopping.
    """
    tx.close_attempt(trial, end, now)
    failures = trial.failures + (end is not AttemptEnd.RELEASED)
    tx.put_trial(
        trial.evolve(state=TrialState.WAITING, lease=None, reason=reason, failures=failures)
    )
    tx.add_event(
        Event(
            study_id=trial.study_id,
            kind=_REQUEUED[end],
            at=now,
            number=trial.number,
            attempt=trial.attempt,
            step=trial.last_step,
            data={**(data or {}), "reason": reason, "failures": failures},
        )
    )
    settle(tx, trial.study_id, now)
    return tx.trial(trial.study_id, trial.number)


def settle(tx: Transaction, study_id: int, now: datetime) -> Study:
    """Bring a study to where its trials and budget say it is.

    It starts with its first lease; stops by failures; drops waiting trials once it stops;
    runs the finalists after the search; finishes when nothing is left to do.
    """
    study = tx.study(study_id)
    if study.is_over:
        return study
    count = tally(tx, study_id)
    study = _start(tx, study, count, now)
    study = _limit(tx, study, count, now)
    if study.stopping is not None and count.waiting:
        for number in sorted(tx.listed(study_id, Listing.WAITING)):
            trial = tx.trial(study_id, number)
            _end(tx, study, trial, Outcome.CANCELLED, now, reason="the study stopped")
        count = count._replace(waiting=0)
    if count.running or count.waiting:
        return study
    return _conclude(tx, study, count, now)


def _start(tx: Transaction, study: Study, count: Tally, now: datetime) -> Study:
    if study.state is not StudyState.QUEUED or not count.running:
        return study
    study = study.evolve(state=StudyState.RUNNING, started_at=study.started_at or now)
    tx.put_study(study)
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.STARTED, at=now))
    return study


def _limit(tx: Transaction, study: Study, count: Tally, now: datetime) -> Study:
    if study.stopping is not None:
        return study
    if count.failed >= study.spec.budget.max_failures:
        return stop(tx, study, EndReason.FAILURES, f"{count.failed} trials failed", now)
    return study


def stop(tx: Transaction, study: Study, why: EndReason, reason: str, now: datetime) -> Study:
    """Let no further trial of a study start. Call `settle` afterwards."""
    study = study.evolve(stopping=why)
    tx.put_study(study)
    data = {"why": why.value, "reason": reason}
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.STOPPING, at=now, data=data))
    return study


def _conclude(tx: Transaction, study: Study, count: Tally, now: datetime) -> Study:
    """Finish a study without open trials, unless the search or its finalists are still to come."""
    if study.stopping is None:
        if count.searched < study.spec.budget.trials:
            return study
        if _repeat(tx, study, now):
            return tx.study(study.study_id)
        followups.begin(tx, study, now)
    why = study.stopping or EndReason.BUDGET
    study = study.evolve(state=StudyState.FINISHED, stopping=None, ended_why=why, ended_at=now)
    tx.put_study(study)
    data = {"why": why.value}
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.FINISHED, at=now, data=data))
    return study


def exhaust(tx: Transaction, study: Study, reason: str, now: datetime) -> Study:
    """End the search because the sampler has nothing left to propose.

    Its budget shrinks to what was tried, so that trials under way and the finalists still run.
    """
    tried = tally(tx, study.study_id).searched
    if not tried:
        study = stop(tx, study, EndReason.FAILURES, reason, now)
        return settle(tx, study.study_id, now)
    budget = study.spec.budget.model_copy(update={"trials": tried})
    study = study.evolve(spec=study.spec.model_copy(update={"budget": budget}))
    tx.put_study(study)
    data = {"budget.trials": tried, "reason": reason}
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.CHANGED, at=now, data=data))
    return settle(tx, study.study_id, now)


def _repeat(tx: Transaction, study: Study, now: datetime) -> int:
    trials = tx.trials(study.study_id)
    number = len(trials)
    missing = finalists.missing(study, trials)
    for source in missing:
        tx.new_trial(
            study.study_id,
            source.params,
            Origin.FINALIST,
            trial_seed(study.spec.sampler.seed, number),
            now,
            note=f"repeats trial {source.number}",
        )
        tx.add_event(
            Event(
                study_id=study.study_id,
                kind=EventKind.ENQUEUED,
                at=now,
                number=number,
                data={"origin": Origin.FINALIST.value, "repeats": source.number},
            )
        )
        number += 1
    return len(missing)


def cancel_study(tx: Transaction, study: Study, now: datetime) -> Study:
    """End a study and its open trials as cancelled, leases included."""
    if study.is_over:
        return study
    for trial in tx.trials(study.study_id):
        if trial.state is not TrialState.ENDED:
            _end(tx, study, trial, Outcome.CANCELLED, now, reason="the study was cancelled")
    study = study.evolve(state=StudyState.CANCELLED, stopping=None, ended_at=now)
    tx.put_study(study)
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.CANCELLED, at=now))
    return study
