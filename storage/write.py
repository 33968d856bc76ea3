"""A change set as SQL: inserts and updates in bulk, in the order that foreign keys need."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from sqlalchemy import Connection

from storage import optuna_rows, rows, tables
from storage.access_rows import write_access
from storage.arrays import execute
from storage.artifact_rows import write_files
from storage.bulk import delete_rows, insert_rows, update_rows, upsert_rows
from storage.changes import Changes, ReportKey, StoredReport, TrialChange
from storage.environments import write_environments
from storage.optuna_records.write import write_optuna
from storage.prune import retire
from storage.remark_rows import write_remarks
from storage.rows import Row
from storage.session_rows import write_sessions
from storage.spec_versions import write_specs
from storage.webhook_rows import write_webhooks
from tuner.study import Study

_STORED = attrgetter(
    "state", "outcome", "value", "reason", "attempt", "failures", "lr_factor", "marks",
    "checkpoint", "share", "started_at", "ended_at", "hand",
)  # fmt: skip
"""What of a trial, beside its reports, changes in its life and is stored."""


def write(connection: Connection, changes: Changes) -> None:
    """Write a change set within the connection's transaction."""
    _advance_sequences(connection, changes)
    write_optuna(connection, changes.optuna)
    retire(connection, changes.dropped)
    _write_studies(connection, changes)
    _write_trials(connection, changes.trials)
    _write_attempts(connection, changes)
    _write_reports(connection, changes)
    upsert_rows(
        connection,
        tables.checkpoints,
        [rows.checkpoint_row(c) for c in changes.checkpoints],
        "trial_id", "attempt", "step",
    )  # fmt: skip
    write_environments(connection, changes.environments)
    if changes.checkpoints_dropped or changes.artifacts or changes.marks:
        write_files(connection, changes)
    insert_rows(connection, tables.events, [rows.event_row(e) for e in changes.events])
    _write_fleet(connection, changes)
    write_access(connection, changes.tokens, changes.audit)
    if changes.sessions:
        write_sessions(connection, changes.sessions)
    if changes.webhooks or changes.deliveries:
        write_webhooks(connection, changes)
    if changes.remarks or changes.views:
        write_remarks(connection, changes)


def _advance_sequences(connection: Connection, changes: Changes) -> None:
    """Move PostgreSQL's sequences past our ids, so that plain Optuna's rows do not collide."""
    if connection.dialect.name != "postgresql":
        return
    studies = [s.study_id for s in changes.new_studies]
    studies += [study.study_id for old, study in changes.optuna.studies if old is None]
    trials = [c.new.trial_id for c in changes.trials if c.old is None]
    trials += [trial.trial_id for old, trial in changes.optuna.trials if old is None]
    for table, column, ids in (("studies", "study_id", studies), ("trials", "trial_id", trials)):
        if ids:
            sequence = f"{table}_{column}_seq"
            statement = (
                f"SELECT setval('{sequence}', "  # noqa: S608
                f"GREATEST($1::bigint, (SELECT last_value FROM {sequence})))"
            )
            execute(connection, statement.encode(), [str(max(ids))])


def _write_studies(connection: Connection, changes: Changes) -> None:
    new = changes.new_studies
    ids = [{"study_id": s.study_id, "study_name": s.name} for s in new]
    insert_rows(connection, tables.optuna_studies, ids)
    directions = [optuna_rows.direction_row(s) for s in new]
    insert_rows(connection, tables.optuna_directions, directions)
    metrics = [optuna_rows.metric_row(s) for s in new]
    insert_rows(connection, tables.optuna_study_system_attrs, metrics)
    insert_rows(connection, tables.studies, [rows.study_row(s) for s in new])
    changed = [_study_update(s) for s in changes.studies]
    update_rows(connection, tables.studies, changed, "study_id")
    write_specs(connection, changes.specs)
    attributes = [optuna_rows.spec_row(s) for s in (*new, *changes.studies)]
    attributes += optuna_rows.user_attr_rows(changes.attributes)
    upsert_rows(connection, tables.optuna_study_user_attrs, attributes, "study_id", "key")


def _study_update(study: Study) -> Row:
    spec = study.spec.model_dump_json(exclude_none=True)
    return {"study_id": study.study_id, "spec": spec, **rows.study_changes(study)}


def _write_trials(connection: Connection, changes: tuple[TrialChange, ...]) -> None:
    new = [c for c in changes if c.old is None]
    optunas = [optuna_rows.trial_row(c) for c in new]
    insert_rows(connection, tables.optuna_trials, optunas)
    insert_rows(connection, tables.trials, [rows.trial_row(c.new, c.note) for c in new])
    params = [row for c in new for row in optuna_rows.param_rows(c)]
    insert_rows(connection, tables.optuna_params, params)
    _update_trials(connection, [c for c in changes if c.old is not None])
    _write_attributes(connection, changes)
    _write_values(connection, changes)


def _update_trials(connection: Connection, changes: list[TrialChange]) -> None:
    ours, optunas = [], []
    for change in changes:
        assert change.old is not None
        if _STORED(change.new) == _STORED(change.old):
            continue
        if (row := rows.trial_changes(change.new)) != rows.trial_changes(change.old):
            ours.append({"trial_id": change.new.trial_id, **row})
        row = optuna_rows.trial_changes(change.new)
        if row != optuna_rows.trial_changes(change.old):
            if row["datetime_start"] is None:
                row["datetime_start"] = rows.naive_or_none(change.old.started_at)
            optunas.append({"trial_id": change.new.trial_id, **row})
    update_rows(connection, tables.trials, ours, "trial_id")
    update_rows(connection, tables.optuna_trials, optunas, "trial_id")


def _write_attributes(connection: Connection, changes: tuple[TrialChange, ...]) -> None:
    found = []
    for change in changes:
        if change.old is not None and change.old.outcome is change.new.outcome:
            continue
        before = optuna_rows.attributes(change.old, "") if change.old else {}
        after = optuna_rows.shown_attributes(change)
        found += [
            {"trial_id": change.new.trial_id, "key": key, "value_json": rows.to_json(value)}
            for key, value in after.items()
            if before.get(key) != value
        ]
    upsert_rows(connection, tables.optuna_trial_user_attrs, found, "trial_id", "key")


def _write_values(connection: Connection, changes: tuple[TrialChange, ...]) -> None:
    found = []
    for change in changes:
        value = optuna_rows.shown_value(change)
        if value is not None:
            found.append(optuna_rows.value_row(change.new.trial_id, value))
    upsert_rows(connection, tables.optuna_values, found, "trial_id", "objective")


def _write_attempts(connection: Connection, changes: Changes) -> None:
    opened = [rows.attempt_row(a) for a in changes.attempts_opened]
    insert_rows(connection, tables.attempts, opened)
    closed = [
        {"trial_id": a.trial_id, "attempt": a.lease.attempt, **rows.attempt_end(a)}
        for a in changes.attempts_closed
    ]
    update_rows(connection, tables.attempts, closed, "trial_id", "attempt")


def _write_reports(connection: Connection, changes: Changes) -> None:
    left = [{"trial_id": t, "step": s, "lineage": False} for t, s in dict.fromkeys(changes.left)]
    update_rows(connection, tables.reports, left, "trial_id", "step")
    entered = [
        {"trial_id": t, "attempt": a, "step": s, "lineage": True} for t, a, s in changes.entered
    ]
    update_rows(connection, tables.reports, entered, "trial_id", "attempt", "step")
    new = [rows.report_row(k, stored, lineage) for k, (stored, lineage) in changes.reports.items()]
    insert_rows(connection, tables.reports, new)
    newest = _newest(changes.reports.items())
    upsert_rows(connection, tables.optuna_intermediate, newest, "trial_id", "step")


def _newest(reports: Iterable[tuple[ReportKey, tuple[StoredReport, bool]]]) -> list[Row]:
    """Keep one report a step, the newest attempt's: Optuna's table has room for one."""
    newest: dict[tuple[int, int], tuple[int, Row]] = {}
    for key, (stored, _) in reports:
        place = (stored.trial_id, key.step)
        if place not in newest or newest[place][0] <= key.attempt:
            row = optuna_rows.intermediate_row(stored.trial_id, key.step, stored.report.value)
            newest[place] = (key.attempt, row)
    return [row for _, row in newest.values()]


def _write_fleet(connection: Connection, changes: Changes) -> None:
    workers = [rows.worker_row(w) for w in changes.workers.values() if w is not None]
    upsert_rows(connection, tables.workers, workers, "worker_id")
    gone = [i for i, w in changes.workers.items() if w is None]
    delete_rows(connection, tables.workers.c.worker_id, gone)
    replies = [rows.reply_row(r) for r in changes.replies.values() if r is not None]
    upsert_rows(connection, tables.replies, replies, "key")
    old = [k for k, r in changes.replies.items() if r is None]
    delete_rows(connection, tables.replies.c.key, old)
