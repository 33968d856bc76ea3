"""Trials and reports of a study as rows, read page by page: for tables taken away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select, text

from storage import optuna_rows, rows
from storage.tables import optuna_params, reports, trials
from tuner.handle import ParamValue

_METRICS = {
    "sqlite": """
        SELECT DISTINCT m.key AS name FROM tuner_reports r
        JOIN tuner_trials t ON t.trial_id = r.trial_id, json_each(r.metrics) m
        WHERE t.study_id = :study_id AND r.metrics <> '{}'
    """,
    "postgresql": """
        SELECT DISTINCT m.name FROM tuner_reports r
        JOIN tuner_trials t ON t.trial_id = r.trial_id
        CROSS JOIN LATERAL json_object_keys(CAST(r.metrics AS json)) AS m(name)
        WHERE t.study_id = :study_id AND r.metrics <> '{}'
    """,
}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A stored trial without its curve. `last_step` is None before the first report."""

    number: int
    state: str
    outcome: str | None
    value: float | None
    reason: str
    origin: str
    last_step: int | None
    lr_factor: float
    attempts: int
    failures: int
    seed: int
    note: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    params: Mapping[str, ParamValue]


class ReportRow(NamedTuple):
    """A stored report of any attempt. `lineage` tells whether its trial's curve holds it."""

    number: int
    attempt: int
    step: int
    value: float
    lr_factor: float
    lineage: bool
    at: datetime
    metrics: Mapping[str, float]


def trial_records(
    connection: Connection, study_id: int, first: int, count: int
) -> Iterator[TrialRecord]:
    """Yield `count` trials from number `first` on, in order."""
    params: dict[int, dict[str, ParamValue]] = defaultdict(dict)
    table = optuna_params
    query = _page(
        select(
            table.c.trial_id, table.c.param_name, table.c.param_value, table.c.distribution_json
        ).join(trials, trials.c.trial_id == table.c.trial_id),
        study_id, first, count,
    )  # fmt: skip
    for trial_id, name, value, distribution in connection.execute(query.order_by(table.c.param_id)):
        params[trial_id][name] = optuna_rows.read_param(distribution, value)
    last = (
        select(func.max(reports.c.step))
        .where(reports.c.trial_id == trials.c.trial_id, reports.c.lineage)
        .scalar_subquery()
    )
    query = _page(select(trials, last.label("last_step")), study_id, first, count)
    for row in connection.execute(query.order_by(trials.c.number)).mappings():
        yield TrialRecord(
            number=row["number"],
            state=row["state"],
            outcome=row["outcome"],
            value=row["value"],
            reason=row["reason"],
            origin=row["origin"],
            last_step=row["last_step"],
            lr_factor=row["lr_factor"],
            attempts=row["attempt"],
            failures=row["failures"],
            seed=row["seed"],
            note=row["note"],
            created_at=rows.aware(row["created_at"]),
            started_at=rows.aware_or_none(row["started_at"]),
            ended_at=rows.aware_or_none(row["ended_at"]),
            params=params.get(row["trial_id"], {}),
        )


def report_rows(
    connection: Connection, study_id: int, first: int, count: int
) -> Iterator[ReportRow]:
    """Yield all attempts' reports of `count` trials from number `first` on, by trial and step."""
    table = reports
    query = _page(
        select(
            trials.c.number, table.c.attempt, table.c.step, table.c.value, table.c.kind,
            table.c.lr_factor, table.c.lineage, table.c.at, table.c.metrics,
        ).join(trials, trials.c.trial_id == table.c.trial_id),
        study_id, first, count,
    ).order_by(trials.c.number, table.c.attempt, table.c.step)  # fmt: skip
    for number, attempt, step, value, kind, factor, lineage, at, metrics in connection.execute(
        query
    ):
        yield ReportRow(
            number,
            attempt,
            step,
            float(kind) if value is None else value,
            factor,
            lineage,
            rows.aware(at),
            {} if metrics == "{}" else rows.read_mapping(metrics),
        )


def metric_names(connection: Connection, study_id: int) -> list[str]:
    """Return the names of all metrics that a study's reports carry, sorted."""
    query = text(_METRICS[connection.dialect.name])
    return sorted(name for (name,) in connection.execute(query, {"study_id": study_id}))


def _page(query: Select[Any], study_id: int, first: int, count: int) -> Select[Any]:
    return query.where(
        trials.c.study_id == study_id,
        trials.c.number >= first,
        trials.c.number < first + count,
    )
