"""What findings keep of the trials that run, made again from their stored reports and events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from storage import rows, tables
from tuner.findings import Course, Reported, advance, known
from tuner.study import Study
from tuner.trial import EventKind, TrialState


def read_courses(connection: Connection, studies: Iterable[Study]) -> dict[int, Course]:
    """Return the course of each trial that has not ended, by its id; none where nothing is known.

    It follows from the reports of the present attempt, after what was found in earlier ones.
    """
    objectives = {s.study_id: s.spec.objective.metric for s in studies if not s.is_over}
    said = _said(connection)
    found = {trial_id: known(events) for trial_id, events in said.items()}
    reports, trials = tables.reports, tables.trials
    query = (
        select(
            trials.c.study_id, reports.c.trial_id, reports.c.attempt, reports.c.step,
            reports.c.value, reports.c.kind, reports.c.lr_factor, reports.c.metrics,
        )
        .join(trials, and_(
            trials.c.trial_id == reports.c.trial_id, trials.c.attempt == reports.c.attempt
        ))
        .where(trials.c.state == TrialState.RUNNING.value)
        .order_by(reports.c.trial_id, reports.c.step)
    )  # fmt: skip
    for row in connection.execute(query):
        if row.study_id not in objectives:
            continue
        value = rows.value_of(row.value, row.kind)
        metrics = rows.read_mapping(row.metrics)
        reported = Reported.of(row.step, value, row.lr_factor, metrics, objectives[row.study_id])
        before = found.get(row.trial_id, Course())
        found[row.trial_id] = advance(before, reported, row.attempt)[0]
    return found


def _said(connection: Connection) -> Mapping[int, list[Mapping[str, Any]]]:
    """Read what was found in trials that have not ended, in attempts before the present one."""
    events, trials = tables.events, tables.trials
    query = (
        select(trials.c.trial_id, events.c.data)
        .join(trials, and_(
            trials.c.study_id == events.c.study_id, trials.c.number == events.c.number
        ))
        .where(
            events.c.kind == EventKind.FINDING.value,
            trials.c.state != TrialState.ENDED.value,
            or_(
                trials.c.state == TrialState.WAITING.value, events.c.attempt < trials.c.attempt
            ),
        )
        .order_by(events.c.seq)
    )  # fmt: skip
    found: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for trial_id, data in connection.execute(query):
        found[trial_id].append(rows.read_mapping(data))
    return found
