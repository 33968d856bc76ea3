"""The metrics that policies read, brought back with the reports of trials that go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select

from storage import rows, tables
from tuner.study import Study
from tuner.trial import TrialState

Watched = Mapping[tuple[int, int, int], Mapping[str, float]]
"""Trial's id, attempt and step to the metrics read there; reports without any are absent."""


def read_watched(connection: Connection, studies: Iterable[Study]) -> Watched:
    """Read what the policies of studies read of the reports of trials that have not ended."""
    names = {s.study_id: s.watched for s in studies if s.watched and not s.is_over}
    found: dict[tuple[int, int, int], Mapping[str, float]] = {}
    reports, trials = tables.reports, tables.trials
    for study_id, watched in names.items():
        query = (
            select(reports.c.trial_id, reports.c.attempt, reports.c.step, reports.c.metrics)
            .join(trials, trials.c.trial_id == reports.c.trial_id)
            .where(trials.c.study_id == study_id, trials.c.state != TrialState.ENDED.value)
        )
        for trial_id, attempt, step, text in connection.execute(query):
            metrics = rows.read_mapping(text)
            if kept := {name: metrics[name] for name in watched & metrics.keys()}:
                found[trial_id, attempt, step] = kept
    return found
