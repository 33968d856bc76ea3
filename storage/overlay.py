"""What a batch has changed so far, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from storage.adopted import OptunaRecord
from storage.changes import (
    Attempt,
    AttemptKey,
    ReportKey,
    SpecChange,
    StoredArtifact,
    StoredCheckpoint,
    StoredEnvironment,
    StoredReply,
    StoredReport,
    StoredSession,
    TrialKey,
)
from storage.index import Key
from storage.optuna_records.state import OptunaOverlay
from tuner.access import AuditEntry, Token
from tuner.remark import Remark, RemarkKey, SavedView
from tuner.study import Study
from tuner.trial import Event, Trial, Worker
from tuner.webhook import Delivery, Webhook


@dataclass
class Overlay:
    """What a batch has changed so far, by key. None removes."""

    studies: dict[int, Study] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    dropped: dict[int, Study] = field(default_factory=dict)
    specs: dict[tuple[int, int], SpecChange] = field(default_factory=dict)
    born: dict[TrialKey, Study] = field(default_factory=dict)
    """New trials' studies as they were then: their spaces are what the trials are points of."""
    trials: dict[int, dict[int, Trial]] = field(default_factory=dict)
    notes: dict[TrialKey, str] = field(default_factory=dict)
    records: dict[TrialKey, OptunaRecord] = field(default_factory=dict)
    attributes: dict[tuple[int, str], Any] = field(default_factory=dict)
    attempts: dict[str, Attempt | None] = field(default_factory=dict)
    holders: dict[TrialKey, str | None] = field(default_factory=dict)
    closed: dict[AttemptKey, Attempt] = field(default_factory=dict)
    reports: dict[ReportKey, StoredReport] = field(default_factory=dict)
    checkpoints: dict[int, StoredCheckpoint] = field(default_factory=dict)
    environments: dict[tuple[int, int], StoredEnvironment] = field(default_factory=dict)
    checkpoints_dropped: dict[tuple[int, int, int], bool] = field(default_factory=dict)
    artifacts: dict[tuple[int, str], StoredArtifact] = field(default_factory=dict)
    held_bytes: dict[int, int] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    workers: dict[str, Worker | None] = field(default_factory=dict)
    replies: dict[str, StoredReply | None] = field(default_factory=dict)
    tokens: dict[str, Token | None] = field(default_factory=dict)
    audit: dict[int, AuditEntry] = field(default_factory=dict)
    sessions: dict[str, StoredSession | None] = field(default_factory=dict)
    webhooks: dict[str, Webhook | None] = field(default_factory=dict)
    deliveries: dict[tuple[str, int], Delivery] = field(default_factory=dict)
    remarks: dict[RemarkKey, Remark | None] = field(default_factory=dict)
    views: dict[str, SavedView | None] = field(default_factory=dict)
    index: dict[int, dict[Key, dict[int, float | None]]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    optuna: OptunaOverlay = field(default_factory=OptunaOverlay)
