"""Attempts in a span of time, newest start first, read page by page from SQL."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, Select, and_, or_, select

from storage import rows
from storage.ledger import Ledger
from storage.tables import attempts, trials
from tuner.decision import Outcome
from tuner.trial import AttemptEnd


class AttemptPlace(NamedTuple):
    """Where an attempt stands in the order: by start, then by trial and attempt."""

    started_at: datetime
    trial_id: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class SpanFilter:
    """Which attempts are asked for.

    Args:
        since, until: held a trial at some moment from `since` on and before `until`.
        studies: only of these; None is any.
        worker_id: only by this worker; None is any.
        after: only those that come after this place.
    """

    since: datetime
    until: datetime
    studies: Collection[int] | None = None
    worker_id: str | None = None
    after: AttemptPlace | None = None


@dataclass(frozen=True, kw_only=True)
class AttemptSpan:
    """An attempt with its trial.

    `outcome` is the trial's, if this attempt ended it; `devices` are the GPUs it was given, as far
    as that was recorded.
    """

    place: AttemptPlace
    study_id: int
    number: int
    worker_id: str | None
    ended_at: datetime | None
    end: AttemptEnd | None
    outcome: Outcome | None
    devices: tuple[str, ...] = ()


async def attempt_spans(ledger: Ledger, wanted: SpanFilter, limit: int) -> list[AttemptSpan]:
    """Return up to `limit` attempts."""
    query = spans_query(wanted).limit(limit)

    def run(connection: Connection) -> list[AttemptSpan]:
        return [_span(row) for row in connection.execute(query).mappings()]

    return await ledger.read(run)


def spans_query(wanted: SpanFilter) -> Select[Any]:
    """Return the statement that reads attempts, newest start first."""
    a, t = attempts.c, trials.c
    order = (a.started_at.desc(), a.trial_id.desc(), a.attempt.desc())
    query = (
        select(
            *(a.started_at, a.trial_id, a.attempt, a.worker_id, a.ended_at, a.ended_why, a.devices),
            *(t.study_id, t.number, t.outcome, t.attempt.label("newest")),
        )
        .join(trials, t.trial_id == a.trial_id)
        .where(a.started_at < rows.naive(wanted.until))
        .where(or_(a.ended_at.is_(None), a.ended_at >= rows.naive(wanted.since)))
        .order_by(*order)
    )
    if wanted.studies is not None:
        query = query.where(t.study_id.in_(wanted.studies))
    if wanted.worker_id is not None:
        query = query.where(a.worker_id == wanted.worker_id)
    if wanted.after is None:
        return query
    at, trial_id, attempt = wanted.after
    start = rows.naive(at)
    earlier_trial = or_(a.trial_id < trial_id, and_(a.trial_id == trial_id, a.attempt < attempt))
    return query.where(or_(a.started_at < start, and_(a.started_at == start, earlier_trial)))


def _span(row: RowMapping) -> AttemptSpan:
    end = row["ended_why"] and AttemptEnd(row["ended_why"])
    ended_it = end is AttemptEnd.ENDED and row["attempt"] == row["newest"]
    started = rows.aware(row["started_at"])
    return AttemptSpan(
        place=AttemptPlace(started, row["trial_id"], row["attempt"]),
        study_id=row["study_id"],
        number=row["number"],
        worker_id=row["worker_id"],
        ended_at=rows.aware_or_none(row["ended_at"]),
        end=end,
        outcome=Outcome(row["outcome"]) if ended_it and row["outcome"] else None,
        devices=tuple(json.loads(row["devices"] or "[]")),
    )
