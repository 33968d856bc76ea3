"""Changes of Optuna's studies as SQL, in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import distribution_to_json
from sqlalchemy import Connection, delete, select

from storage import optuna_rows, tables
from storage.bulk import insert_rows, update_rows, upsert_rows
from storage.optuna_records.state import OptunaChanges
from storage.optuna_records.values import OptunaStudy, OptunaTrial
from storage.rows import Row, naive_or_none

OF_TRIALS = (
    tables.optuna_params, tables.optuna_values, tables.optuna_intermediate,
    tables.optuna_trial_user_attrs, tables.optuna_trial_system_attrs, tables.optuna_heartbeats,
)  # fmt: skip
OF_STUDIES = (
    tables.optuna_trials, tables.optuna_directions, tables.optuna_study_user_attrs,
    tables.optuna_study_system_attrs, tables.optuna_studies,
)  # fmt: skip
TrialPairs = Sequence[tuple[OptunaTrial | None, OptunaTrial]]


def write_optuna(connection: Connection, changes: OptunaChanges) -> None:
    """Write what changed of Optuna's studies within the connection's transaction."""
    _delete_studies(connection, changes.deleted)
    _write_studies(connection, changes.studies)
    _write_trials(connection, changes.trials)


def _delete_studies(connection: Connection, study_ids: Sequence[int]) -> None:
    if not study_ids:
        return
    trials = tables.optuna_trials
    gone = select(trials.c.trial_id).where(trials.c.study_id.in_(study_ids))
    for table in OF_TRIALS:
        connection.execute(delete(table).where(table.c.trial_id.in_(gone)))
    for table in OF_STUDIES:
        connection.execute(delete(table).where(table.c.study_id.in_(study_ids)))


def _write_studies(
    connection: Connection, changes: Sequence[tuple[OptunaStudy | None, OptunaStudy]]
) -> None:
    new = [study for old, study in changes if old is None]
    ids = [{"study_id": s.study_id, "study_name": s.name} for s in new]
    insert_rows(connection, tables.optuna_studies, ids)
    directions = [
        {"study_id": s.study_id, "objective": i, "direction": direction}
        for s in new
        for i, direction in enumerate(s.directions)
    ]
    insert_rows(connection, tables.optuna_directions, directions)
    for table, kind in (
        (tables.optuna_study_user_attrs, "user_attrs"),
        (tables.optuna_study_system_attrs, "system_attrs"),
    ):
        found = [
            {"study_id": study.study_id, "key": key, "value_json": json.dumps(value)}
            for old, study in changes
            for key, value in _changed(old, study, kind)
        ]
        upsert_rows(connection, table, found, "study_id", "key")


def _write_trials(connection: Connection, changes: TrialPairs) -> None:
    new = [_trial_row(trial) for old, trial in changes if old is None]
    insert_rows(connection, tables.optuna_trials, new)
    changed = [
        {"trial_id": trial.trial_id, **_lifecycle(trial)}
        for old, trial in changes
        if old is not None and _lifecycle(old) != _lifecycle(trial)
    ]
    update_rows(connection, tables.optuna_trials, changed, "trial_id")
    upsert_rows(connection, tables.optuna_params, _params(changes), "trial_id", "param_name")
    values = [
        optuna_rows.value_row(trial.trial_id, value, objective)
        for old, trial in changes
        if old is None or old.values is not trial.values
        for objective, value in enumerate(trial.values)
    ]
    upsert_rows(connection, tables.optuna_values, values, "trial_id", "objective")
    curves = [
        optuna_rows.intermediate_row(trial.trial_id, step, value)
        for old, trial in changes
        for step, value in _changed(old, trial, "intermediate_values")
    ]
    upsert_rows(connection, tables.optuna_intermediate, curves, "trial_id", "step")
    for table, kind in (
        (tables.optuna_trial_user_attrs, "user_attrs"),
        (tables.optuna_trial_system_attrs, "system_attrs"),
    ):
        found = [
            {"trial_id": trial.trial_id, "key": key, "value_json": json.dumps(value)}
            for old, trial in changes
            for key, value in _changed(old, trial, kind)
        ]
        upsert_rows(connection, table, found, "trial_id", "key")


def _trial_row(trial: OptunaTrial) -> Row:
    return {
        "trial_id": trial.trial_id,
        "study_id": trial.study_id,
        "number": trial.number,
        **_lifecycle(trial),
    }


def _lifecycle(trial: OptunaTrial) -> Row:
    return {
        "state": trial.state,
        "datetime_start": naive_or_none(trial.started_at),
        "datetime_complete": naive_or_none(trial.completed_at),
    }


def _params(changes: TrialPairs) -> list[Row]:
    return [
        {
            "trial_id": trial.trial_id,
            "param_name": name,
            "param_value": suggested.internal,
            "distribution_json": distribution_to_json(suggested.distribution),
        }
        for old, trial in changes
        for name, suggested in _changed(old, trial, "params")
    ]


def _changed(old: Any, new: Any, part: str) -> Iterator[tuple[Any, Any]]:
    """Yield the items of a mapping that were put into it since `old`; none is ever taken out."""
    before: Mapping[Any, Any] = {} if old is None else getattr(old, part)
    after: Mapping[Any, Any] = getattr(new, part)
    if after is not before:
        yield from ((k, v) for k, v in after.items() if k not in before or before[k] is not v)
