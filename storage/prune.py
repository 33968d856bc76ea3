"""Studies that were dropped: taken out of sight at once, their rows deleted piece by piece.

Deleting all rows of a large study takes seconds, for which no commit may wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, update

from storage import tables
from storage.numbers import note_seq
from storage.optuna_records.write import OF_STUDIES, OF_TRIALS

DELETED = "deleted"
"""State of a dropped study's row while its other rows are deleted. It is never loaded."""
RETIRED = "tuner:deleted:"
"""How the name begins that Optuna's readers see of a dropped study meanwhile."""
MOST_ROWS = 4_000
"""Rows of reports deleted in one piece, but for a single trial that has more."""
MOST_TRIALS = 200

_OURS_OF_TRIALS = (
    tables.reports,
    tables.attempts,
    tables.checkpoints,
    tables.artifacts,
    tables.trials,
)
_OURS_OF_STUDIES = (
    tables.events,
    tables.specs,
    tables.environments,
    tables.remarks,
    tables.trials,
    tables.studies,
)


def retire(connection: Connection, study_ids: Sequence[int]) -> None:
    """Take studies out of sight; their names are free from here on."""
    ours, theirs = tables.studies, tables.optuna_studies
    for study_id in study_ids:
        name = f"{RETIRED}{study_id}"
        connection.execute(
            update(theirs).where(theirs.c.study_id == study_id).values(study_name=name)
        )
        connection.execute(update(ours).where(ours.c.study_id == study_id).values(state=DELETED))


def purge_some(connection: Connection) -> bool:
    """Delete a bounded number of rows of dropped studies; tell whether there are more."""
    study_id = connection.execute(
        select(tables.studies.c.study_id).where(tables.studies.c.state == DELETED).limit(1)
    ).scalar()
    if study_id is None:
        return False
    note_seq(connection)
    trials = _some_trials(connection, study_id)
    if trials:
        _delete_trials(connection, study_id, trials)
    else:
        for table in (*_OURS_OF_STUDIES, *OF_STUDIES):
            connection.execute(delete(table).where(table.c.study_id == study_id))
    return True


def _some_trials(connection: Connection, study_id: int) -> dict[int, int]:
    """Return ids and numbers of trials that have up to `MOST_ROWS` reports, one trial at least."""
    trials, reports = tables.optuna_trials, tables.reports
    count = (
        select(func.count())
        .select_from(reports)
        .where(reports.c.trial_id == trials.c.trial_id)
        .scalar_subquery()
    )
    query = (
        select(trials.c.trial_id, trials.c.number, count.label("reports"))
        .where(trials.c.study_id == study_id)
        .limit(MOST_TRIALS)
    )
    found: dict[int, int] = {}
    rows = 0
    for trial in connection.execute(query):
        rows += trial.reports
        if found and rows > MOST_ROWS:
            break
        found[trial.trial_id] = trial.number
    return found


def _delete_trials(connection: Connection, study_id: int, trials: dict[int, int]) -> None:
    events = tables.events
    connection.execute(
        delete(events).where(events.c.study_id == study_id, events.c.number.in_(trials.values()))
    )
    for table in (*_OURS_OF_TRIALS, *OF_TRIALS, tables.optuna_trials):
        connection.execute(delete(table).where(table.c.trial_id.in_(trials)))
