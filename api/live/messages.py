"""From commits to messages of a stream. Each message is written once, however many listen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel

from api.views import counts, event_view, finite, trial_fields
from storage import Committed
from storage.changes import ReportKey, StoredReport
from storage.memory import Memory, Reader
from tuner.study import Study
from tuner.trial import Event, Trial
from tuner.wire import LiveReport, LiveStale, LiveStudy, LiveTrial

MOST_TRIALS = 300
"""Trials of one study that are told one by one at a time."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Message(NamedTuple):
    """A written message and what it is about."""

    study_id: int
    project: str
    data: bytes


class Position(NamedTuple):
    """A place in the order of events. `check` tells an event from another one of its number."""

    seq: int
    check: str = ""

    def __str__(self) -> str:
        return f"{self.seq}-{self.check}" if self.check else str(self.seq)


def position_of(event: Event) -> Position:
    """Return the position after an event."""
    assert event.seq is not None
    left, digits = int(event.at.timestamp() * 1e6) % 36**6, ""
    for _ in range(6):
        left, digit = divmod(left, 36)
        digits += _DIGITS[digit]
    return Position(event.seq, digits)


def read_position(text: str) -> Position | None:
    """Read an id of a stream; None if it is none."""
    seq, _, check = text.partition("-")
    if not (seq.isascii() and seq.isdecimal() and len(seq) <= 18):
        return None
    if check and not (len(check) == 6 and all(c in _DIGITS for c in check)):
        return None
    return Position(int(seq), check)


def written(kind: str, data: BaseModel, position: Position | None = None) -> bytes:
    """Return a message as it is sent.

    In ASCII, since readers take more for a line's end than the format does, such as U+2028.
    """
    head = "" if position is None else f"id: {position}\n"
    return f"{head}event: {kind}\ndata: {data.model_dump_json(ensure_ascii=True)}\n\n".encode()


def event_message(event: Event, project: str) -> Message:
    """Return the message of a stored event."""
    data = written("event", event_view(event), position_of(event))
    return Message(event.study_id, project, data)


def study_message(study: Study, trials: Sequence[Trial], *, deleted: bool = False) -> Message:
    """Return where a study stands."""
    project = study.spec.queue.project
    view = LiveStudy(
        study_id=study.study_id,
        name=study.name,
        project=project,
        state=study.state,
        stopping=study.stopping,
        ended_why=study.ended_why,
        counts=counts(trials),
        steps_done=sum(t.last_step for t in trials),
        deleted=deleted,
    )
    return Message(study.study_id, project, written("study", view))


def trial_messages(reader: Reader, study: Study, trials: Sequence[Trial]) -> Iterator[Message]:
    """Yield where trials of a study stand; of too many, that they are to be fetched."""
    project = study.spec.queue.project
    if len(trials) > MOST_TRIALS:
        stale = written("stale", LiveStale(study_id=study.study_id))
        yield Message(study.study_id, project, stale)
        return
    for trial in trials:
        remark = reader.remark(study.study_id, trial.number)
        view = LiveTrial(study_id=study.study_id, **trial_fields(trial, remark))
        yield Message(study.study_id, project, written("trial", view))


def report_message(key: ReportKey, stored: StoredReport, project: str) -> Message:
    """Return a new point of a curve."""
    value = stored.report.value
    view = LiveReport(
        study_id=key.study_id,
        number=key.number,
        attempt=key.attempt,
        step=key.step,
        value=finite(value),
        status=_status(value),
        lr_factor=stored.report.lr_factor,
        at=stored.at,
    )
    return Message(key.study_id, project, written("report", view))


def _status(value: float) -> Literal["ok", "nan", "inf", "-inf"]:
    if math.isfinite(value):
        return "ok"
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def messages_of(memory: Memory, commits: Iterable[Committed]) -> Iterator[Message]:
    """Yield what commits say: reports, then trials as they stand now, then the events in order.

    Events come last, so that who was told an event has been told what it led to.
    """
    events: list[Event] = []
    told: dict[int, dict[int, Trial]] = {}
    studies = {s.study_id: s for s in memory.studies()}
    for news in commits:
        events += news.events
        places = {(e.study_id, e.number) for e in news.events}
        reported = {(key.study_id, key.number) for key in news.reports}
        for key, (stored, _) in news.reports.items():
            if key.study_id in studies and key.attempt:
                project = studies[key.study_id].spec.queue.project
                yield report_message(key, stored, project)
        for trial in news.trials:
            place = (trial.study_id, trial.number)
            if place in places or place not in reported:
                told.setdefault(trial.study_id, {})[trial.number] = trial
    for study_id, trials in told.items():
        if study_id in studies:
            now = [memory.trial(study_id, number) for number in trials]
            yield from trial_messages(memory, studies[study_id], now)
    for event in events:
        if event.study_id in studies:
            yield event_message(event, studies[event.study_id].spec.queue.project)
