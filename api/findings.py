"""Findings on a trial's training, made of each report and stored as events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from storage.transaction import Transaction
from tuner.findings import Course, Reported, advance
from tuner.study import Study
from tuner.trial import Event, EventKind, Report, Trial

_NONE = Course()


def look(
    tx: Transaction,
    study: Study,
    trial: Trial,
    new: Report,
    metrics: Mapping[str, float],
    *,
    now: datetime,
) -> Trial:
    """Take in a report that is part of `trial.reports`; one behind a later one is passed over."""
    course = trial.course if isinstance(trial.course, Course) else _NONE
    if new.step < trial.last_step or not (metrics or course.reports):
        return trial
    objective = study.spec.objective.metric
    reported = Reported.of(new.step, new.value, new.lr_factor, metrics, objective)
    course, found = advance(course, reported, trial.attempt)
    for finding in found:
        tx.add_event(
            Event(
                study_id=trial.study_id,
                kind=EventKind.FINDING,
                at=now,
                number=trial.number,
                attempt=trial.attempt,
                step=new.step,
                data=finding.document(),
            )
        )
    return trial.evolve(course=course)
