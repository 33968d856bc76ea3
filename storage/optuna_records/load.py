"""Optuna's studies read from SQL in bulk."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialValueModel
from optuna.study import StudyDirection
from sqlalchemy import ColumnElement, Connection, Select, Table, select

from storage import optuna_rows, tables
from storage.optuna_records.state import OptunaTables
from storage.optuna_records.values import OptunaStudy, OptunaTrial, Suggested
from storage.rows import aware_or_none

_FETCH = 10_000


def load_optuna(connection: Connection) -> OptunaTables:
    """Read all studies and trials of Optuna's tables."""
    found = OptunaTables()
    for study in _studies(connection):
        found.put_study(study)
    for trial in _trials(connection):
        found.put_trial(trial)
    return found


def _studies(connection: Connection) -> list[OptunaStudy]:
    directions = _directions(connection)
    users = _attributes(connection, tables.optuna_study_user_attrs, "study_id")
    systems = _attributes(connection, tables.optuna_study_system_attrs, "study_id")
    ours = set(connection.execute(select(tables.studies.c.study_id)).scalars())
    table = tables.optuna_studies
    query = select(table.c.study_id, table.c.study_name).order_by(table.c.study_id)
    return [
        OptunaStudy(
            study_id=study_id, name=name, directions=tuple(directions.get(study_id, ())),
            user_attrs=users.get(study_id, {}), system_attrs=systems.get(study_id, {}),
            ours=study_id in ours,
        )
        for study_id, name in connection.execute(query)
    ]  # fmt: skip


def _directions(connection: Connection) -> dict[int, list[StudyDirection]]:
    table = tables.optuna_directions
    query = select(table.c.study_id, table.c.direction).order_by(
        table.c.study_id, table.c.objective
    )
    found: dict[int, list[StudyDirection]] = defaultdict(list)
    for study_id, direction in connection.execute(query):
        found[study_id].append(direction)
    return found


def _trials(connection: Connection) -> list[OptunaTrial]:
    params, values = _params(connection), _values(connection)
    curves = _curves(connection)
    users = _attributes(connection, tables.optuna_trial_user_attrs, "trial_id")
    systems = _attributes(connection, tables.optuna_trial_system_attrs, "trial_id")
    table = tables.optuna_trials
    query = select(
        table.c.trial_id, table.c.study_id, table.c.number, table.c.state,
        table.c.datetime_start, table.c.datetime_complete,
    ).order_by(table.c.trial_id)  # fmt: skip
    return [
        OptunaTrial(
            trial_id=trial_id, study_id=study_id, number=number, state=state,
            values=tuple(values.get(trial_id, ())), params=params.get(trial_id, {}),
            user_attrs=users.get(trial_id, {}), system_attrs=systems.get(trial_id, {}),
            intermediate_values=curves.get(trial_id, {}),
            started_at=aware_or_none(started_at), completed_at=aware_or_none(completed_at),
        )
        for trial_id, study_id, number, state, started_at, completed_at in _rows(connection, query)
    ]  # fmt: skip


def _params(connection: Connection) -> dict[int, dict[str, Suggested]]:
    table = tables.optuna_params
    query = select(
        table.c.trial_id, table.c.param_name, table.c.param_value, table.c.distribution_json
    ).order_by(table.c.param_id)
    found: dict[int, dict[str, Suggested]] = defaultdict(dict)
    for trial_id, name, value, text in _rows(connection, query):
        found[trial_id][name] = Suggested(value, optuna_rows.read_distribution(text))
    return found


def _values(connection: Connection) -> dict[int, list[float]]:
    table = tables.optuna_values
    query = select(table.c.trial_id, table.c.value, table.c.value_type)
    found: dict[int, list[float]] = defaultdict(list)
    for trial_id, value, kind in _rows(
        connection, query.order_by(table.c.trial_id, table.c.objective)
    ):
        found[trial_id].append(TrialValueModel.stored_repr_to_value(value, kind))
    return found


def _curves(connection: Connection) -> dict[int, dict[int, float]]:
    table, read = tables.optuna_intermediate, TrialIntermediateValueModel
    query = select(
        table.c.trial_id, table.c.step, table.c.intermediate_value, table.c.intermediate_value_type
    ).order_by(table.c.trial_intermediate_value_id)
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for trial_id, step, value, kind in _rows(connection, query):
        found[trial_id][step] = read.stored_repr_to_intermediate_value(value, kind)
    return found


def _attributes(connection: Connection, table: Table, owner: str) -> dict[int, dict[str, Any]]:
    column: ColumnElement[int] = table.c[owner]
    (first,) = table.primary_key
    query = select(column, table.c.key, table.c.value_json).order_by(first)
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for owner_id, key, text in _rows(connection, query):
        found[owner_id][key] = json.loads(text)
    return found


def _rows(connection: Connection, query: Select[Any]) -> Any:
    return connection.execute(query).yield_per(_FETCH)
