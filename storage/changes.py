"""What a batch of commands wants stored, as values: the ledger decides it, a store writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from storage.adopted import OptunaRecord
from storage.optuna_records.state import OptunaChanges
from tuner.access import AuditEntry, Token
from tuner.remark import Remark, RemarkKey, SavedView
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import Artifact, AttemptEnd, Checkpoint, Event, Lease, Report, Trial, Worker
from tuner.webhook import Delivery, Webhook


class TrialKey(NamedTuple):
    """A trial's place: its study and its number there."""

    study_id: int
    number: int


class ReportKey(NamedTuple):
    """A report's place. Attempt 0 holds what a trial inherited from another one."""

    study_id: int
    number: int
    attempt: int
    step: int


class AttemptKey(NamedTuple):
    """An attempt's place."""

    study_id: int
    number: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class StoredReport:
    """A report as it is stored: with its metrics and the time it came."""

    trial_id: int
    report: Report
    metrics: Mapping[str, float]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One lease's run of a trial. `resumed_step` is the checkpoint's it began with, 0 without."""

    trial_id: int
    lease: Lease
    resumed_step: int
    started_at: datetime
    ended_at: datetime | None = None
    end: AttemptEnd | None = None


@dataclass(frozen=True, kw_only=True)
class StoredCheckpoint:
    """A checkpoint registered for a trial."""

    trial_id: int
    checkpoint: Checkpoint
    at: datetime


class EnvironmentPart(NamedTuple):
    """A part of an environment: `kind` is machine, packages or code, `body` its JSON."""

    digest: str
    kind: str
    body: str


@dataclass(frozen=True, kw_only=True)
class StoredEnvironment:
    """What an attempt ran on and with: the machine's digest, and the parts stored for it.

    `devices` are the GPUs it was given.
    """

    trial_id: int
    study_id: int
    attempt: int
    digest: str
    parts: tuple[EnvironmentPart, ...]
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StoredArtifact:
    """A file registered for a trial."""

    trial_id: int
    artifact: Artifact
    at: datetime


@dataclass(frozen=True, kw_only=True)
class StoredReply:
    """The reply given to a request with an Idempotency-Key. `digest` is the request's."""

    key: str
    digest: str
    status: int
    body: bytes
    at: datetime


@dataclass(frozen=True, kw_only=True)
class StoredSession:
    """A browser's session.

    Args:
        key: SHA-256 of the secret in its cookie.
        digest: of its token, as in the table; None for a built-in one.
        proof: tells who has that secret whether a token is the session's.
        at, ends_at: when it began, and when it is over at the latest.
    """

    key: str
    digest: str | None
    proof: str
    at: datetime
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class SpecChange:
    """A study before a change of its space, and its document after it."""

    study: Study
    spec: StudySpec
    at: datetime
    by: str


@dataclass(frozen=True, kw_only=True)
class TrialChange:
    """A trial before (None: it is new) and after a batch. A `record` stands for Optuna's rows."""

    study: Study
    old: Trial | None
    new: Trial
    note: str = ""
    record: OptunaRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All that one commit writes.

    `reports` maps each new report to whether it belongs to its trial's lineage. Of reports stored
    before, all attempts' at the (trial_id, step) of `left` leave their lineage; then those at the
    (trial_id, attempt, step) of `entered` enter it. `checkpoints_dropped` are (trial_id, attempt,
    step), and `held_bytes` what the files of each study take more than before. `marks` are ids of
    stores with their names. None in `workers`, `replies`, `webhooks` and `tokens` (by digest)
    also removes; so it does in `sessions` (by key), `remarks` and `views`. `attributes` are user
    attributes of studies, by study and key. The studies of `dropped` go with all that belongs to
    them, and their names are free at once.
    """

    dropped: tuple[int, ...] = ()
    new_studies: tuple[Study, ...] = ()
    studies: tuple[Study, ...] = ()
    specs: tuple[SpecChange, ...] = ()
    attributes: Mapping[tuple[int, str], Any] = field(default_factory=dict)
    trials: tuple[TrialChange, ...] = ()
    attempts_opened: tuple[Attempt, ...] = ()
    attempts_closed: tuple[Attempt, ...] = ()
    reports: Mapping[ReportKey, tuple[StoredReport, bool]] = field(default_factory=dict)
    left: tuple[tuple[int, int], ...] = ()
    entered: tuple[tuple[int, int, int], ...] = ()
    checkpoints: tuple[StoredCheckpoint, ...] = ()
    environments: tuple[StoredEnvironment, ...] = ()
    checkpoints_dropped: tuple[tuple[int, int, int], ...] = ()
    artifacts: tuple[StoredArtifact, ...] = ()
    held_bytes: Mapping[int, int] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    workers: Mapping[str, Worker | None] = field(default_factory=dict)
    replies: Mapping[str, StoredReply | None] = field(default_factory=dict)
    tokens: Mapping[str, Token | None] = field(default_factory=dict)
    audit: tuple[AuditEntry, ...] = ()
    sessions: Mapping[str, StoredSession | None] = field(default_factory=dict)
    webhooks: Mapping[str, Webhook | None] = field(default_factory=dict)
    deliveries: tuple[Delivery, ...] = ()
    remarks: Mapping[RemarkKey, Remark | None] = field(default_factory=dict)
    views: Mapping[str, SavedView | None] = field(default_factory=dict)
    optuna: OptunaChanges = field(default_factory=OptunaChanges)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(vars(self).values())


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What a commit changed, for those who wait for news.

    After `reloaded` memory was read again from SQL, and anything may have changed. `reports` are
    those of the change set; attempt 0's were inherited.
    """

    reports: Mapping[ReportKey, tuple[StoredReport, bool]] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    trials: tuple[Trial, ...] = ()
    studies: tuple[Study, ...] = ()
    dropped: tuple[int, ...] = ()
    workers: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    webhooks: tuple[str, ...] = ()
    reloaded: bool = False
