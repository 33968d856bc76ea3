"""What is read seldom: read from SQL, in a thread, beside the writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from storage import rows
from storage.ledger import Ledger
from storage.tables import attempts, checkpoints, events, reports, trials
from tuner.trial import AttemptEnd, Checkpoint, Event, EventKind

Query = Select[Any]


@dataclass(frozen=True, kw_only=True)
class ReportRecord:
    """A stored report. `lineage` tells whether the trial's curve holds it."""

    attempt: int
    step: int
    value: float
    lr_factor: float
    metrics: Mapping[str, float]
    at: datetime
    lineage: bool


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """A stored attempt. `end` is None while it holds the trial."""

    attempt: int
    worker_id: str | None
    resumed_step: int
    started_at: datetime
    ended_at: datetime | None
    end: AttemptEnd | None


async def trial_reports(ledger: Ledger, study_id: int, number: int) -> list[ReportRecord]:
    """Return all attempts' reports of a trial, by attempt and step."""
    query = _of_trial(select(reports), reports.c.trial_id, study_id, number)
    ordered = query.order_by(reports.c.attempt, reports.c.step)
    return [_report(row) for row in await _fetch(ledger, ordered)]


async def report_metrics(ledger: Ledger, study_id: int, number: int, step: int) -> dict[str, float]:
    """Return the metrics of the report in a trial's curve at a step; {} if none is."""
    query = _of_trial(select(reports.c.metrics), reports.c.trial_id, study_id, number)
    chosen = query.where(reports.c.step == step, reports.c.lineage)
    found = await _fetch(ledger, chosen)
    return rows.read_mapping(found[0]["metrics"]) if found else {}


async def study_events(
    ledger: Ledger, study_id: int, after: int = 0, limit: int = 1000
) -> list[Event]:
    """Return the study's events whose `seq` is greater than `after`, in order, up to `limit`."""
    query = select(events).where(events.c.study_id == study_id, events.c.seq > after)
    return await events_of(ledger, query.order_by(events.c.seq).limit(limit))


async def events_of(ledger: Ledger, query: Query) -> list[Event]:
    """Return the events that a query selects."""
    return [_event(row) for row in await _fetch(ledger, query)]


async def events_from(
    ledger: Ledger, first: int, upto: int, *, study_id: int | None = None, limit: int = 1000
) -> list[Event]:
    """Return events with `first <= seq <= upto` in order: of one study, or of all."""
    query = select(events).where(events.c.seq >= first, events.c.seq <= upto)
    if study_id is not None:
        query = query.where(events.c.study_id == study_id)
    return [_event(row) for row in await _fetch(ledger, query.order_by(events.c.seq).limit(limit))]


async def newest_event(ledger: Ledger, upto: int, study_id: int | None = None) -> Event | None:
    """Return the event with the highest `seq` up to one: of one study, or of all."""
    query = select(events).where(events.c.seq <= upto)
    if study_id is not None:
        query = query.where(events.c.study_id == study_id)
    found = await _fetch(ledger, query.order_by(events.c.seq.desc()).limit(1))
    return _event(found[0]) if found else None


async def newest_of_kinds(
    ledger: Ledger, study_id: int, kinds: Sequence[EventKind], before: int | None, limit: int
) -> list[Event]:
    """Return a study's events of these kinds, newest first, with `seq` below `before`."""
    query = select(events).where(events.c.study_id == study_id, events.c.kind.in_(kinds))
    if before is not None:
        query = query.where(events.c.seq < before)
    return await events_of(ledger, query.order_by(events.c.seq.desc()).limit(limit))


async def count_events(ledger: Ledger, first: int, upto: int, study_id: int | None = None) -> int:
    """Count events with `first <= seq <= upto`: of one study, or of all."""
    query = select(func.count().label("n")).select_from(events)
    query = query.where(events.c.seq >= first, events.c.seq <= upto)
    if study_id is not None:
        query = query.where(events.c.study_id == study_id)
    return int((await _fetch(ledger, query))[0]["n"])


async def trial_events(ledger: Ledger, study_id: int, number: int) -> list[Event]:
    """Return a trial's events in order."""
    query = select(events).where(events.c.study_id == study_id, events.c.number == number)
    return await events_of(ledger, query.order_by(events.c.seq))


async def trial_attempts(ledger: Ledger, study_id: int, number: int) -> list[AttemptRecord]:
    """Return a trial's attempts in order."""
    query = _of_trial(select(attempts), attempts.c.trial_id, study_id, number)
    return [_attempt(row) for row in await _fetch(ledger, query.order_by(attempts.c.attempt))]


async def attempt_of(ledger: Ledger, token: str) -> tuple[AttemptRecord, str | None] | None:
    """Return the attempt that had a lease, and the access token it was given to; None if none."""
    found = await _fetch(ledger, select(attempts).where(attempts.c.token == token))
    return (_attempt(found[0]), found[0]["token_id"]) if found else None


async def lease_of(ledger: Ledger, study_id: int, number: int, attempt: int) -> str:
    """Return the token of the lease that an attempt has or had; "" if there was none."""
    query = _of_trial(select(attempts.c.token), attempts.c.trial_id, study_id, number)
    found = await _fetch(ledger, query.where(attempts.c.attempt == attempt))
    return str(found[0]["token"]) if found else ""


async def trial_checkpoints(ledger: Ledger, study_id: int, number: int) -> list[Checkpoint]:
    """Return the checkpoints registered for a trial, by attempt and step."""
    query = _of_trial(select(checkpoints), checkpoints.c.trial_id, study_id, number)
    ordered = query.order_by(checkpoints.c.attempt, checkpoints.c.step)
    return [
        Checkpoint(*(row[name] for name in Checkpoint._fields))
        for row in await _fetch(ledger, ordered)
    ]


def _of_trial(query: Query, column: ColumnElement[int], study_id: int, number: int) -> Query:
    same = trials.c.trial_id == column
    return query.join(trials, same).where(trials.c.study_id == study_id, trials.c.number == number)


async def _fetch(ledger: Ledger, query: Query) -> list[RowMapping]:
    def run(connection: Connection) -> list[RowMapping]:
        return list(connection.execute(query).mappings())

    return await ledger.read(run)


def _report(row: RowMapping) -> ReportRecord:
    return ReportRecord(
        attempt=row["attempt"],
        step=row["step"],
        value=rows.value_of(row["value"], row["kind"]),
        lr_factor=row["lr_factor"],
        metrics=rows.read_mapping(row["metrics"]),
        at=rows.aware(row["at"]),
        lineage=row["lineage"],
    )


def _attempt(row: RowMapping) -> AttemptRecord:
    return AttemptRecord(
        attempt=row["attempt"],
        worker_id=row["worker_id"],
        resumed_step=row["resumed_step"],
        started_at=rows.aware(row["started_at"]),
        ended_at=rows.aware_or_none(row["ended_at"]),
        end=row["ended_why"] and AttemptEnd(row["ended_why"]),
    )


def _event(row: RowMapping) -> Event:
    return Event(
        seq=row["seq"],
        study_id=row["study_id"],
        number=row["number"],
        attempt=row["attempt"],
        step=row["step"],
        kind=EventKind(row["kind"]),
        at=rows.aware(row["at"]),
        data=rows.read_mapping(row["data"]),
    )
