"""Messages of the event streams. `LIVE` names the kinds and what their data is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from tuner.trial import EndReason, StudyState
from tuner.wire.base import Reply
from tuner.wire.studies import EventView, TrialView


class LiveHello(Reply):
    """The first message: nothing is missing from here on. `seq` is the newest event's, or 0."""

    seq: int


class LiveStudy(Reply):
    """Where a study stands now. `deleted`: it is gone, and all that belonged to it."""

    study_id: int
    name: str
    project: str
    state: StudyState
    stopping: EndReason | None = None
    ended_why: EndReason | None = None
    counts: dict[str, int]
    steps_done: int
    deleted: bool = False


class LiveTrial(TrialView):
    """Where a trial stands now."""

    study_id: int


class LiveReport(Reply):
    """A new point of a trial's curve. `value` is null when it was not finite."""

    study_id: int
    number: int
    attempt: int
    step: int
    value: float | None
    status: Literal["ok", "nan", "inf", "-inf"]
    lr_factor: float
    at: datetime


class LiveStale(Reply):
    """More of a study's trials changed than are told one by one: fetch them again."""

    study_id: int


class LiveReset(Reply):
    """The id resumed from is none that the stream can go on from: fetch everything again."""

    why: str


LIVE: Mapping[str, type[BaseModel]] = {
    "hello": LiveHello,
    "event": EventView,
    "report": LiveReport,
    "trial": LiveTrial,
    "study": LiveStudy,
    "stale": LiveStale,
    "reset": LiveReset,
}
"""The kinds of messages: the name in the stream, and what its data is."""
