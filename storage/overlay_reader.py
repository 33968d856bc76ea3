"""What a batch sees: the committed memory with the overlay on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from storage.changes import Attempt, ReportKey, StoredReply, TrialKey
from storage.index import EMPTY, Changed, Column, Key, Values
from storage.memory import Memory, Reader
from storage.overlay import Overlay
from tuner.access import Token
from tuner.remark import Remark, RemarkKey, SavedView
from tuner.study import Study
from tuner.trial import Lease, Report, Trial, Worker
from tuner.webhook import Webhook

_MISSING: Any = object()
K = TypeVar("K")
V = TypeVar("V")


class OverlayReader(Reader):
    """The memory as it will be once the overlay is stored, and a journal of the overlay's writes.

    Guarantees: the memory below is never changed; `rollback` undoes all writes since `savepoint`,
    at a cost of the number of writes undone.
    """

    def __init__(self, memory: Memory) -> None:
        self._base = memory.tables
        self._memory = memory
        self.overlay = Overlay()
        self._journal: list[tuple[dict[Any, Any], Any, Any]] = []

    def savepoint(self) -> int:
        """Return a mark to roll back to."""
        return len(self._journal)

    def rollback(self, savepoint: int) -> None:
        """Undo what was written since `savepoint`."""
        while len(self._journal) > savepoint:
            table, key, old = self._journal.pop()
            if old is _MISSING:
                table.pop(key, None)
            else:
                table[key] = old

    def _set(self, table: dict[K, V], key: K, value: V) -> None:
        self._journal.append((table, key, table.get(key, _MISSING)))
        table[key] = value

    def _find_study(self, study_id: int) -> Study | None:
        if study_id in self.overlay.dropped:
            return None
        return self.overlay.studies.get(study_id) or self._base.studies.get(study_id)

    def _find_name(self, name: str) -> int | None:
        found = self.overlay.names.get(name) or self._base.names.get(name)
        return None if found in self.overlay.dropped else found

    def _find_trial(self, study_id: int, number: int) -> Trial | None:
        if study_id in self.overlay.dropped:
            return None
        changed = self.overlay.trials.get(study_id, {})
        return changed.get(number) or self._base.trials.get(study_id, {}).get(number)

    def _find_attempt(self, token: str) -> Attempt | None:
        if token in self.overlay.attempts:
            return self.overlay.attempts[token]
        return self._base.attempts.get(token)

    def _find_worker(self, worker_id: str) -> Worker | None:
        if worker_id in self.overlay.workers:
            return self.overlay.workers[worker_id]
        return self._base.workers.get(worker_id)

    def _find_webhook(self, webhook_id: str) -> Webhook | None:
        if webhook_id in self.overlay.webhooks:
            return self.overlay.webhooks[webhook_id]
        return self._base.webhooks.get(webhook_id)

    def _listed(self, study_id: int, key: Key) -> Values:
        base, changed = self._column(study_id, key)
        if not changed:
            return base.values
        return {n: v for n, v in {**base.values, **changed}.items() if v is not None}

    def _column(self, study_id: int, key: Key) -> tuple[Column, Changed]:
        base = self._base.index.get(study_id, {}).get(key, EMPTY)
        return base, self.overlay.index.get(study_id, {}).get(key, {})

    def ordered(self, study_id: int, key: Key) -> Sequence[float]:
        """Return the values that the study's index lists under a key, ascending."""
        base, changed = self._column(study_id, key)
        return base.ordered_with(changed) if changed else base.ordered()

    def count(self, study_id: int, key: Key) -> int:
        """Return the number of trials that the study's index lists under a key."""
        base, changed = self._column(study_id, key)
        return base.count_with(changed)

    def studies(self) -> Sequence[Study]:
        """Return all studies, oldest first."""
        found = {**self._base.studies, **self.overlay.studies}
        return tuple(s for i, s in found.items() if i not in self.overlay.dropped)

    def trials(self, study_id: int) -> Sequence[Trial]:
        """Return a study's trials in order of number. Raises NotFound."""
        self.study(study_id)
        base = self._base.trials.get(study_id, {})
        return tuple({**base, **self.overlay.trials.get(study_id, {})}.values())

    def leases(self) -> Sequence[Lease]:
        """Return the leases whose attempts hold a trial now."""
        attempts = {**self._base.attempts, **self.overlay.attempts}.values()
        return tuple(a.lease for a in attempts if a is not None)

    def workers(self) -> Sequence[Worker]:
        """Return the registered workers."""
        workers = {**self._base.workers, **self.overlay.workers}.values()
        return tuple(w for w in workers if w is not None)

    def webhooks(self) -> Sequence[Webhook]:
        """Return the webhooks, oldest first."""
        webhooks = {**self._base.webhooks, **self.overlay.webhooks}.values()
        return tuple(w for w in webhooks if w is not None)

    def next_number(self, study_id: int) -> int:
        """Return the number that the study's next trial will get. Raises NotFound."""
        self.study(study_id)
        base = self._base.counters.numbers.get(study_id, 0)
        return self.overlay.numbers.get(study_id, base)

    @property
    def last_seq(self) -> int:
        """The `seq` of the last event committed."""
        return self._base.counters.seq - 1

    def stored_report(self, study_id: int, number: int, attempt: int, step: int) -> Report | None:
        """Return the report that an attempt stored at a step, or None."""
        stored = self.overlay.reports.get(ReportKey(study_id, number, attempt, step))
        if stored is not None:
            return stored.report
        return self._memory.stored_report(study_id, number, attempt, step)

    def held_bytes(self, study_id: int) -> int:
        """Return the bytes of a study's kept checkpoints and artifacts."""
        grown = self.overlay.held_bytes.get(study_id, 0)
        return self._base.held_bytes.get(study_id, 0) + grown

    def token(self, digest: str) -> Token | None:
        """Return the token whose secret has this SHA-256 in hexadecimal, or None."""
        if digest in self.overlay.tokens:
            return self.overlay.tokens[digest]
        return self._base.tokens.get(digest)

    def tokens(self) -> Sequence[Token]:
        """Return all tokens, oldest first."""
        found = {**self._base.tokens, **self.overlay.tokens}.values()
        return tuple(t for t in found if t is not None)

    def reply(self, key: str) -> StoredReply | None:
        """Return the stored idempotent reply, or None."""
        if key in self.overlay.replies:
            return self.overlay.replies[key]
        return self._base.replies.get(key)

    def remark(self, study_id: int, number: int | None = None) -> Remark:
        """Return what people noted on a study or a trial; an empty one without any."""
        key = RemarkKey(study_id, number)
        changed = self.overlay.remarks
        found = changed[key] if key in changed else self._base.remarks.get(key)
        return Remark(study_id=study_id, number=number) if found is None else found

    def saved_views(self) -> Sequence[SavedView]:
        """Return the saved views, oldest first."""
        found = {**self._base.views, **self.overlay.views}.values()
        return tuple(v for v in found if v is not None)

    def _holder(self, key: TrialKey) -> str | None:
        if key in self.overlay.holders:
            return self.overlay.holders[key]
        return self._base.holders.get(key)
