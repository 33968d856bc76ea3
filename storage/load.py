"""Memory rebuilt from SQL by bulk reads."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Select, and_, func, or_, select

from storage import optuna_rows, rows, tables
from storage.access_rows import read_tokens
from storage.artifact_rows import read_held_bytes
from storage.changes import Attempt, StoredReply, TrialKey
from storage.courses import read_courses
from storage.index import build_index
from storage.memory import Counters, Memory, Stored, Tables
from storage.numbers import highest_seq
from storage.optuna_records.load import load_optuna
from storage.remark_rows import load_remarks, load_views
from storage.watched import Watched, read_watched
from storage.webhook_rows import load_webhooks
from tuner.decision import Outcome
from tuner.findings import Course
from tuner.handle import ParamValue
from tuner.study import Study
from tuner.trial import (
    EndReason,
    Lease,
    Origin,
    Report,
    StudyState,
    Trial,
    TrialState,
    Worker,
)

_FETCH = 10_000
_ENDED = TrialState.ENDED.value


def load(connection: Connection, *, optuna: bool = False) -> Memory:
    """Read everything that lives in memory; with `optuna`, all studies as Optuna sees them too."""
    found = Tables(studies=_studies(connection), counters=read_counters(connection))
    found.optuna = load_optuna(connection) if optuna else None
    found.names = {s.name: s.study_id for s in found.studies.values()}
    attempts = _attempts(connection)
    found.attempts = {a.lease.token: a for a in attempts.values()}
    found.holders = {place: a.lease.token for place, a in attempts.items()}
    read = read_watched(connection, found.studies.values())
    found.trials, found.stored = _trials(connection, attempts, read)
    _give_courses(found, read_courses(connection, found.studies.values()))
    found.index = {i: build_index(trials.values()) for i, trials in found.trials.items()}
    found.workers = _workers(connection)
    found.replies = _replies(connection)
    found.tokens = read_tokens(connection)
    found.webhooks = load_webhooks(connection)
    found.remarks = load_remarks(connection)
    found.views = load_views(connection)
    found.held_bytes = read_held_bytes(connection)
    return Memory(found)


def read_counters(connection: Connection) -> Counters:
    """Read the next free ids, counting what other programs wrote."""
    optuna_studies, optuna_trials = tables.optuna_studies, tables.optuna_trials
    ours = select(tables.studies.c.study_id)
    foreign = select(optuna_studies.c.study_name, optuna_studies.c.study_id).where(
        optuna_studies.c.study_id.not_in(ours)
    )
    numbers = (
        select(optuna_trials.c.study_id, func.max(optuna_trials.c.number))
        .where(optuna_trials.c.study_id.in_(ours))
        .group_by(optuna_trials.c.study_id)
    )
    return Counters(
        study_id=_next(connection, optuna_studies.c.study_id),
        trial_id=_next(connection, optuna_trials.c.trial_id),
        seq=highest_seq(connection) + 1,
        numbers={study_id: number + 1 for study_id, number in connection.execute(numbers)},
        foreign_names={row.study_name: row.study_id for row in connection.execute(foreign)},
    )


def _next(connection: Connection, column: Any) -> int:
    return (connection.execute(select(func.max(column))).scalar() or 0) + 1


def _studies(connection: Connection) -> dict[int, Study]:
    table, names = tables.studies, tables.optuna_studies
    query = (
        select(table, names.c.study_name)
        .join(names, names.c.study_id == table.c.study_id)
        .order_by(table.c.study_id)
    )
    return {row["study_id"]: _study(row) for row in connection.execute(query).mappings()}


def _study(row: RowMapping) -> Study:
    return Study(
        study_id=row["study_id"],
        name=row["study_name"],
        spec=rows.read_spec(row["spec"]),
        created_at=rows.aware(row["created_at"]),
        created_by=row["created_by"],
        state=StudyState(row["state"]),
        stopping=row["stopping"] and EndReason(row["stopping"]),
        ended_why=row["ended_why"] and EndReason(row["ended_why"]),
        started_at=rows.aware_or_none(row["started_at"]),
        ended_at=rows.aware_or_none(row["ended_at"]),
    )


def _attempts(connection: Connection) -> dict[TrialKey, Attempt]:
    """Read the attempts that hold a trial now."""
    table, trials = tables.attempts, tables.trials
    query = (
        select(table, trials.c.study_id, trials.c.number)
        .join(trials, trials.c.trial_id == table.c.trial_id)
        .where(table.c.ended_at.is_(None))
        .order_by(table.c.trial_id, table.c.attempt)
    )
    found = {}
    for row in connection.execute(query).mappings():
        place = TrialKey(row["study_id"], row["number"])
        lease = Lease(
            token=row["token"], study_id=place.study_id, number=place.number,
            attempt=row["attempt"], worker_id=row["worker_id"], token_id=row["token_id"],
        )  # fmt: skip
        found[place] = Attempt(
            trial_id=row["trial_id"], lease=lease, resumed_step=row["resumed_step"],
            started_at=rows.aware(row["started_at"]),
        )  # fmt: skip
    return found


def _trials(
    connection: Connection, attempts: Mapping[TrialKey, Attempt], read: Watched
) -> tuple[dict[int, dict[int, Trial]], dict[TrialKey, Stored]]:
    params = _params(connection)
    lineages, stored = _reports(connection, read)
    found: dict[int, dict[int, Trial]] = {}
    curves: dict[TrialKey, Stored] = {}
    ours, held_by = tables.trials, tables.attempts
    last = and_(held_by.c.trial_id == ours.c.trial_id, held_by.c.attempt == ours.c.attempt)
    query = (
        select(ours, held_by.c.token_id.label("held_by"))
        .outerjoin(held_by, last)
        .order_by(ours.c.study_id, ours.c.number)
    )
    for row in connection.execute(query).mappings():
        place = TrialKey(row["study_id"], row["number"])
        held = attempts.get(place)
        trial = _trial(row, params.get(row["trial_id"], {}), held.lease if held else None)
        lineage = tuple(lineages.get(trial.trial_id, ()))
        found.setdefault(place.study_id, {})[place.number] = trial.evolve(reports=lineage)
        if trial.trial_id in stored:
            curves[place] = stored[trial.trial_id]
    return found, curves


def _give_courses(found: Tables, courses: Mapping[int, Course]) -> None:
    for trials in found.trials.values() if courses else ():
        for number, trial in trials.items():
            if (course := courses.get(trial.trial_id)) is not None:
                trials[number] = trial.evolve(course=course)


def _trial(row: RowMapping, params: Mapping[str, ParamValue], lease: Lease | None) -> Trial:
    return Trial(
        trial_id=row["trial_id"],
        study_id=row["study_id"],
        number=row["number"],
        params=params,
        seed=row["seed"],
        origin=Origin(row["origin"]),
        created_at=rows.aware(row["created_at"]),
        state=TrialState(row["state"]),
        outcome=row["outcome"] and Outcome(row["outcome"]),
        value=row["value"],
        reason=row["reason"],
        attempt=row["attempt"],
        failures=row["failures"],
        lr_factor=row["lr_factor"],
        marks=rows.read_marks(row["marks"]),
        hand=rows.read_hand(row["hand"]),
        lease=lease,
        held_by=row["held_by"] and sys.intern(row["held_by"]),
        checkpoint=rows.read_checkpoint(row["checkpoint"]),
        share=row["share"],
        started_at=rows.aware_or_none(row["started_at"]),
        ended_at=rows.aware_or_none(row["ended_at"]),
    )


def _params(connection: Connection) -> dict[int, dict[str, ParamValue]]:
    table, ours = tables.optuna_params, tables.trials
    query = (
        select(table.c.trial_id, table.c.param_name, table.c.param_value, table.c.distribution_json)
        .join(ours, ours.c.trial_id == table.c.trial_id)
        .order_by(table.c.param_id)
    )
    found: dict[int, dict[str, ParamValue]] = defaultdict(dict)
    for trial_id, name, value, text in connection.execute(query).yield_per(_FETCH):
        found[trial_id][name] = optuna_rows.read_param(text, value)
    return found


def _reports(
    connection: Connection, read: Watched
) -> tuple[dict[int, list[Report]], dict[int, Stored]]:
    """Read all lineages, and by attempt what `stored_report` knows."""
    table, trials = tables.reports, tables.trials
    kept = or_(trials.c.state != _ENDED, table.c.attempt == trials.c.attempt)
    query = (
        select(
            table.c.trial_id, table.c.attempt, table.c.step, table.c.value, table.c.kind,
            table.c.lr_factor, table.c.lineage, kept.label("kept"),
        )
        .join(trials, and_(trials.c.trial_id == table.c.trial_id, or_(table.c.lineage, kept)))
        .order_by(table.c.trial_id, table.c.step)
    )  # fmt: skip
    lineages: dict[int, list[Report]] = defaultdict(list)
    stored: dict[int, Stored] = defaultdict(dict)
    for trial_id, attempt, step, value, kind, lr_factor, lineage, keep in _plain(connection, query):
        metrics = read.get((trial_id, attempt, step)) if read else None
        report = Report(step, float(kind) if value is None else value, lr_factor, metrics)
        if lineage:
            lineages[trial_id].append(report)
        if keep:
            stored[trial_id].setdefault(attempt, {})[step] = report
    return lineages, stored


def _plain(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Any]]:
    """Yield the driver's own rows: a million of them cost half."""
    cursor = cast(Any, connection.execute(query)).cursor
    while found := cursor.fetchmany(_FETCH):
        yield from found


def _workers(connection: Connection) -> dict[str, Worker]:
    query = select(tables.workers).order_by(tables.workers.c.registered_at)
    return {row["worker_id"]: _worker(row) for row in connection.execute(query).mappings()}


def _worker(row: RowMapping) -> Worker:
    return Worker(
        worker_id=row["worker_id"],
        name=row["name"],
        host=row["host"],
        slots=row["slots"],
        gpus=rows.read_strings(row["gpus"]),
        labels=rows.read_mapping(row["labels"]),
        allow=rows.read_strings(row["allow"]),
        tasks=rows.read_strings(row["tasks"]),
        registered_at=rows.aware(row["registered_at"]),
        seen_at=rows.aware(row["seen_at"]),
        token_id=row["token_id"],
        project=row["project"],
        allow_commands=rows.read_strings(row["allow_commands"] or "[]"),
        allow_env=rows.read_strings(row["allow_env"] or "[]"),
    )


def _replies(connection: Connection) -> dict[str, StoredReply]:
    table = tables.replies
    query = select(table).order_by(table.c.at)
    return {
        row["key"]: StoredReply(
            key=row["key"], digest=row["digest"], status=row["status"], body=row["body"],
            at=rows.aware(row["at"]),
        )
        for row in connection.execute(query).mappings()
    }  # fmt: skip
