"""Who ran what when: attempts in a span of time, for the fleet's timeline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, NoReturn

from api.listing import refuse
from api.services import Services
from storage.attempt_spans import AttemptPlace, AttemptSpan, SpanFilter, attempt_spans
from tuner.access import Identity
from tuner.errors import Fault, InvalidInput
from tuner.wire.fleet import Attempts

DAY = timedelta(days=1)
_CURSOR = re.compile(r"([0-9]{1,17})-([0-9]{1,10})-([0-9]{1,10})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 3000
_MICROSECOND = timedelta(microseconds=1)


class Span(NamedTuple):
    """What is asked for: the last day where `since` is absent, up to now where `until` is."""

    since: datetime | None
    until: datetime | None
    worker_id: str | None


async def page(
    services: Services, who: Identity, span: Span, *, limit: int, cursor: str | None
) -> Attempts:
    """Show attempts in a span of time of the studies that `who` may see.

    Raises:
        InvalidInput: the span is empty or the cursor is none of this list's.
    """
    since, until = _bounds(span, services.clock())
    names = {
        s.study_id: s.name
        for s in services.ledger.memory.studies()
        if who.sees(s.spec.queue.project)
    }
    wanted = SpanFilter(
        since=since,
        until=until,
        studies=None if who.project is None else names.keys(),
        worker_id=span.worker_id,
        after=None if cursor is None else _read(cursor),
    )
    found = await attempt_spans(services.ledger, wanted, limit + 1)
    more = _write(found[limit - 1].place) if len(found) > limit else None
    shown = [s for s in found[:limit] if s.study_id in names]
    used = {s.study_id for s in shown}
    return Attempts(
        studies={i: name for i, name in names.items() if i in used},
        columns=_columns(shown),
        next_cursor=more,
    )


def _bounds(span: Span, now: datetime) -> tuple[datetime, datetime]:
    """Return where a span begins and ends. Raises InvalidInput."""
    until = _in_reach("until", span.until) or now + DAY
    since = _in_reach("since", span.since) or min(until, now) - DAY
    if since >= until:
        _refuse("since", "must be before `until`")
    return since, until


def _in_reach(name: str, at: datetime | None) -> datetime | None:
    if at is not None and not _EPOCH.year < at.year < _LAST_YEAR:
        _refuse(name, f"is not between {_EPOCH.year + 1} and {_LAST_YEAR - 1}")
    return at


def _refuse(name: str, message: str) -> NoReturn:
    raise InvalidInput(f"query.{name}: {message}", [Fault(where=f"query.{name}", message=message)])


def _columns(spans: Sequence[AttemptSpan]) -> dict[str, list[int | float | str | list[str] | None]]:
    return {
        "study_id": [s.study_id for s in spans],
        "number": [s.number for s in spans],
        "attempt": [s.place.attempt for s in spans],
        "worker_id": [s.worker_id for s in spans],
        "started": [round(s.place.started_at.timestamp(), 3) for s in spans],
        "ended": [None if s.ended_at is None else round(s.ended_at.timestamp(), 3) for s in spans],
        "end": [s.end for s in spans],
        "outcome": [s.outcome for s in spans],
        "devices": [list(s.devices) for s in spans],
    }


def _write(place: AttemptPlace) -> str:
    return f"{(place.started_at - _EPOCH) // _MICROSECOND}-{place.trial_id}-{place.attempt}"


def _read(cursor: str) -> AttemptPlace:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        refuse()
    micros, trial_id, attempt = map(int, found.groups())
    if max(trial_id, attempt) >= 2**31:
        refuse()
    return AttemptPlace(_EPOCH + micros * _MICROSECOND, trial_id, attempt)
