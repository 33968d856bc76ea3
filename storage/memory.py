"""The live state in memory: what is committed, and how it is read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from storage.changes import Attempt, StoredReply, TrialKey
from storage.index import EMPTY, Index, IndexPeers, Key, Listing, Values, listing_key
from storage.optuna_records.state import OptunaTables
from tuner.access import Token
from tuner.errors import NotFound, StaleAttempt
from tuner.policies.base import Peers
from tuner.remark import Remark, RemarkKey, SavedView
from tuner.study import Study
from tuner.trial import Lease, Report, Trial, Worker
from tuner.webhook import Webhook

K = TypeVar("K")
V = TypeVar("V")
Stored = dict[int, dict[int, Report]]
"""A trial's stored reports: attempt to step to report."""


class Reader(ABC):
    """The reading methods that memory and a transaction share."""

    @abstractmethod
    def _find_study(self, study_id: int) -> Study | None: ...

    @abstractmethod
    def _find_name(self, name: str) -> int | None: ...

    @abstractmethod
    def _find_trial(self, study_id: int, number: int) -> Trial | None: ...

    @abstractmethod
    def _find_attempt(self, token: str) -> Attempt | None: ...

    @abstractmethod
    def _find_worker(self, worker_id: str) -> Worker | None: ...

    @abstractmethod
    def _find_webhook(self, webhook_id: str) -> Webhook | None: ...

    @abstractmethod
    def _listed(self, study_id: int, key: Key) -> Values: ...

    @abstractmethod
    def ordered(self, study_id: int, key: Key) -> Sequence[float]:
        """Return the values that the study's index lists under a key, ascending."""

    @abstractmethod
    def count(self, study_id: int, key: Key) -> int:
        """Return the number of trials that the study's index lists under a key."""

    @abstractmethod
    def studies(self) -> Sequence[Study]:
        """Return all studies, oldest first."""

    @abstractmethod
    def trials(self, study_id: int) -> Sequence[Trial]:
        """Return a study's trials in order of number. Raises NotFound."""

    @abstractmethod
    def leases(self) -> Sequence[Lease]:
        """Return the leases whose attempts hold a trial now."""

    @abstractmethod
    def workers(self) -> Sequence[Worker]:
        """Return the registered workers."""

    @abstractmethod
    def webhooks(self) -> Sequence[Webhook]:
        """Return the webhooks, oldest first."""

    @abstractmethod
    def next_number(self, study_id: int) -> int:
        """Return the number that the study's next trial will get. Raises NotFound."""

    @abstractmethod
    def stored_report(self, study_id: int, number: int, attempt: int, step: int) -> Report | None:
        """Return the report that an attempt stored at a step, or None.

        Knows every attempt of a live trial, and the last attempt of one that has ended.
        """

    @abstractmethod
    def held_bytes(self, study_id: int) -> int:
        """Return the bytes of a study's kept checkpoints and artifacts."""

    @abstractmethod
    def token(self, digest: str) -> Token | None:
        """Return the token whose secret has this SHA-256 in hexadecimal, or None."""

    @abstractmethod
    def tokens(self) -> Sequence[Token]:
        """Return all tokens, oldest first."""

    @abstractmethod
    def remark(self, study_id: int, number: int | None = None) -> Remark:
        """Return what people noted on a study or a trial; an empty one without any."""

    @abstractmethod
    def saved_views(self) -> Sequence[SavedView]:
        """Return the saved views, oldest first."""

    @abstractmethod
    def reply(self, key: str) -> StoredReply | None:
        """Return the stored idempotent reply, or None."""

    def study(self, study_id: int) -> Study:
        """Return a study. Raises NotFound."""
        if (study := self._find_study(study_id)) is None:
            raise NotFound(f"no study has the id {study_id}")
        return study

    def study_named(self, name: str) -> Study:
        """Return the study of this name. Raises NotFound."""
        if (study_id := self._find_name(name)) is None:
            raise NotFound(f"no study is named {name!r}")
        return self.study(study_id)

    def trial(self, study_id: int, number: int) -> Trial:
        """Return a trial. Raises NotFound."""
        if (trial := self._find_trial(study_id, number)) is None:
            self.study(study_id)
            raise NotFound(f"study {study_id} has no trial {number}")
        return trial

    def lease(self, token: str) -> Lease:
        """Return the lease while its attempt holds the trial. Raises StaleAttempt."""
        if (attempt := self._find_attempt(token)) is None:
            raise StaleAttempt("the lease expired, was given back, or was never given")
        return attempt.lease

    def worker(self, worker_id: str) -> Worker:
        """Return a worker. Raises NotFound."""
        if (worker := self._find_worker(worker_id)) is None:
            raise NotFound(f"no worker has the id {worker_id}")
        return worker

    def webhook(self, webhook_id: str) -> Webhook:
        """Return a webhook. Raises NotFound."""
        if (webhook := self._find_webhook(webhook_id)) is None:
            raise NotFound(f"no webhook has the id {webhook_id}")
        return webhook

    def listed(self, study_id: int, listing: Listing) -> Collection[int]:
        """Return the numbers of the study's trials on a list, in no order. Raises NotFound."""
        self.study(study_id)
        return self._listed(study_id, listing_key(listing)).keys()

    def peers(self, study_id: int) -> Peers:
        """Return what pruning may ask of a study's trials. Raises NotFound."""
        self.study(study_id)
        return IndexPeers(self, study_id)


@dataclass
class Counters:
    """The next ids. Numbers count within a study."""

    study_id: int = 1
    trial_id: int = 1
    seq: int = 1
    numbers: dict[int, int] = field(default_factory=dict)
    foreign_names: dict[str, int] = field(default_factory=dict)
    """Studies that other programs made in this database: name to id."""


@dataclass
class Tables:
    """What is held in memory, by key."""

    studies: dict[int, Study] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    trials: dict[int, dict[int, Trial]] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    holders: dict[TrialKey, str] = field(default_factory=dict)
    stored: dict[TrialKey, Stored] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    replies: dict[str, StoredReply] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    remarks: dict[RemarkKey, Remark] = field(default_factory=dict)
    views: dict[str, SavedView] = field(default_factory=dict)
    index: dict[int, Index] = field(default_factory=dict)
    held_bytes: dict[int, int] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    optuna: OptunaTables | None = None
    """All studies as Optuna sees them; None unless the store was told to load them."""


class Memory(Reader):
    """The committed state. Read it freely on the event loop; only the ledger changes it."""

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = tables or Tables()

    def _find_study(self, study_id: int) -> Study | None:
        return self.tables.studies.get(study_id)

    def _find_name(self, name: str) -> int | None:
        return self.tables.names.get(name)

    def _find_trial(self, study_id: int, number: int) -> Trial | None:
        return self.tables.trials.get(study_id, {}).get(number)

    def _find_attempt(self, token: str) -> Attempt | None:
        return self.tables.attempts.get(token)

    def _find_worker(self, worker_id: str) -> Worker | None:
        return self.tables.workers.get(worker_id)

    def _find_webhook(self, webhook_id: str) -> Webhook | None:
        return self.tables.webhooks.get(webhook_id)

    def _listed(self, study_id: int, key: Key) -> Values:
        return self.tables.index.get(study_id, {}).get(key, EMPTY).values

    def ordered(self, study_id: int, key: Key) -> Sequence[float]:
        """Return the values that the study's index lists under a key, ascending."""
        return self.tables.index.get(study_id, {}).get(key, EMPTY).ordered()

    def count(self, study_id: int, key: Key) -> int:
        """Return the number of trials that the study's index lists under a key."""
        return len(self._listed(study_id, key))

    def studies(self) -> Sequence[Study]:
        """Return all studies, oldest first."""
        return tuple(self.tables.studies.values())

    def trials(self, study_id: int) -> Sequence[Trial]:
        """Return a study's trials in order of number. Raises NotFound."""
        self.study(study_id)
        return tuple(self.tables.trials.get(study_id, {}).values())

    def leases(self) -> Sequence[Lease]:
        """Return the leases whose attempts hold a trial now."""
        return tuple(a.lease for a in self.tables.attempts.values())

    def workers(self) -> Sequence[Worker]:
        """Return the registered workers."""
        return tuple(self.tables.workers.values())

    def webhooks(self) -> Sequence[Webhook]:
        """Return the webhooks, oldest first."""
        return tuple(self.tables.webhooks.values())

    def next_number(self, study_id: int) -> int:
        """Return the number that the study's next trial will get. Raises NotFound."""
        self.study(study_id)
        return self.tables.counters.numbers.get(study_id, 0)

    def stored_report(self, study_id: int, number: int, attempt: int, step: int) -> Report | None:
        """Return the report that an attempt stored at a step, or None."""
        stored = self.tables.stored.get(TrialKey(study_id, number), {})
        return stored.get(attempt, {}).get(step)

    def held_bytes(self, study_id: int) -> int:
        """Return the bytes of a study's kept checkpoints and artifacts."""
        return self.tables.held_bytes.get(study_id, 0)

    def token(self, digest: str) -> Token | None:
        """Return the token whose secret has this SHA-256 in hexadecimal, or None."""
        return self.tables.tokens.get(digest)

    def tokens(self) -> Sequence[Token]:
        """Return all tokens, oldest first."""
        return tuple(self.tables.tokens.values())

    def remark(self, study_id: int, number: int | None = None) -> Remark:
        """Return what people noted on a study or a trial; an empty one without any."""
        found = self.tables.remarks.get(RemarkKey(study_id, number))
        return Remark(study_id=study_id, number=number) if found is None else found

    def tags_of_trials(self, study_id: int) -> dict[int, tuple[str, ...]]:
        """Return the tags of those of a study's trials that have any."""
        found = [r for k, r in self.tables.remarks.items() if k.study_id == study_id]
        return {r.number: r.tags for r in found if r.number is not None and r.tags}

    def saved_views(self) -> Sequence[SavedView]:
        """Return the saved views, oldest first."""
        return tuple(self.tables.views.values())

    def reply(self, key: str) -> StoredReply | None:
        """Return the stored idempotent reply, or None."""
        return self.tables.replies.get(key)


def same_report(a: Report, b: Report) -> bool:
    """Tell whether two reports say the same; NaN is the same as NaN."""
    values = a.value == b.value or (math.isnan(a.value) and math.isnan(b.value))
    return values and a.step == b.step and a.lr_factor == b.lr_factor


def merge(base: dict[K, V], overlay: Mapping[K, V | None]) -> None:
    """Lay `overlay` over `base` in place; None removes."""
    for key, value in overlay.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = value
