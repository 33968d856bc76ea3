"""Webhooks as values: who is told of what, and what is tried to tell them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from tuner.decision import Outcome
from tuner.trial import EndReason, Event, EventKind


class Topic(StrEnum):
    """What a webhook can be told of."""

    STUDY_SUBMITTED = "study.submitted"
    STUDY_STARTED = "study.started"
    STUDY_PAUSED = "study.paused"
    STUDY_RESUMED = "study.resumed"
    STUDY_STOPPING = "study.stopping"
    STUDY_EXTENDED = "study.extended"
    STUDY_CHANGED = "study.changed"
    STUDY_FINISHED = "study.finished"
    STUDY_FAILED = "study.failed"
    STUDY_CANCELLED = "study.cancelled"
    STUDY_RESTORED = "study.restored"
    STUDY_REMARKED = "study.remarked"
    TRIAL_ENQUEUED = "trial.enqueued"
    TRIAL_LEASED = "trial.leased"
    TRIAL_LOST = "trial.lost"
    TRIAL_RELEASED = "trial.released"
    TRIAL_RETRIED = "trial.retried"
    TRIAL_CHECKPOINT = "trial.checkpoint"
    TRIAL_MISSING = "trial.missing"
    TRIAL_HALVED = "trial.halved"
    TRIAL_SCALED = "trial.scaled"
    TRIAL_COMPARED = "trial.compared"
    TRIAL_RUNG = "trial.rung"
    TRIAL_FINDING = "trial.finding"
    TRIAL_ENDED = "trial.ended"
    TRIAL_FAILED = "trial.failed"
    TRIAL_BEST = "trial.best"
    WEBHOOK_DISABLED = "webhook.disabled"


TEST = "webhook.test"
"""The type of a message that was asked for."""
USUAL = (Topic.STUDY_FINISHED, Topic.STUDY_FAILED, Topic.STUDY_CANCELLED, Topic.TRIAL_FAILED)
"""What a webhook is told of unless it says otherwise."""

_PLAIN = {topic.value.partition(".")[2]: topic for topic in Topic}
_SPECIAL = {
    Topic.STUDY_FAILED: EventKind.FINISHED,
    Topic.TRIAL_FAILED: EventKind.ENDED,
    Topic.TRIAL_BEST: EventKind.ENDED,
    Topic.WEBHOOK_DISABLED: EventKind.UNTOLD,
}
_FAILED = (Outcome.FAILED.value, Outcome.OOM.value)


def kind_of(topic: Topic) -> EventKind:
    """Return the kind of the events among which those of a topic are."""
    return _SPECIAL.get(topic) or EventKind(topic.value.partition(".")[2])


def topics_of(event: Event, *, best: bool) -> tuple[Topic, ...]:
    """Return what an event is, the most special last; `best`: it ended the best trial so far."""
    if event.kind is EventKind.UNTOLD:
        return (Topic.WEBHOOK_DISABLED,)
    plain = _PLAIN.get(event.kind.value)
    found = [] if plain is None else [plain]
    if event.kind is EventKind.FINISHED and event.data.get("why") == EndReason.FAILURES:
        found.append(Topic.STUDY_FAILED)
    if event.kind is EventKind.ENDED and event.data.get("outcome") in _FAILED:
        found.append(Topic.TRIAL_FAILED)
    if best:
        found.append(Topic.TRIAL_BEST)
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A receiver of events. The secret signs and is shown once, when it is made.

    `cursor` is the `seq` of the last event dealt with. `attempts` counts those to deliver the next
    one, the first of which failed at `failing_since`; `reason` says why it is not active.
    `deliveries` counts all attempts ever made.
    """

    webhook_id: str
    url: str
    secret: str = field(repr=False)
    topics: tuple[Topic, ...]
    created_by: str
    created_at: datetime
    cursor: int
    project: str | None = None
    study_id: int | None = None
    active: bool = True
    reason: str = ""
    attempts: int = 0
    failing_since: datetime | None = None
    deliveries: int = 0

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied."""
        return replace(self, **changes)

    @property
    def kinds(self) -> frozenset[EventKind]:
        """The kinds of the events among which its own are."""
        return frozenset(kind_of(topic) for topic in self.topics)

    def chosen(self, topics: Iterable[Topic]) -> Topic | None:
        """Return the most special of an event's topics that it wants, None if it wants none."""
        wanted = [topic for topic in topics if topic in self.topics]
        return wanted[-1] if wanted else None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt to deliver a message. `status` is None where there was no answer.

    `number` counts a webhook's attempts, `attempt` those of one message. `body` is the beginning of
    the answer's.
    """

    webhook_id: str
    number: int
    message: str
    topic: str
    seq: int | None
    attempt: int
    at: datetime
    took_ms: int
    status: int | None = None
    error: str = ""
    body: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300
