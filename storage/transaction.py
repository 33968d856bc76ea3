"""The overlay on which a batch of commands is decided before anything is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from storage.adopted import OptunaRecord
from storage.changes import (
    Attempt,
    AttemptKey,
    ReportKey,
    StoredCheckpoint,
    StoredReply,
    StoredReport,
    TrialKey,
)
from storage.exact import exact
from storage.index import EMPTY, Changed, Column, Key, Values, changed_entries
from storage.memory import Memory, Reader, same_report
from storage.optuna_records.transaction import OptunaTransaction
from storage.overlay import Overlay
from tuner.errors import (
    DuplicateName,
    InvalidInput,
    NotFound,
    ReportMismatch,
    StaleAttempt,
    StudyState,
    TrialEnded,
    Unavailable,
)
from tuner.space import Params
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import (
    AttemptEnd,
    Checkpoint,
    Event,
    Lease,
    Origin,
    Report,
    Trial,
    TrialState,
    Worker,
)

REPLY_KEPT = timedelta(hours=24)
"""How long an idempotent reply is kept."""

_MISSING: Any = object()
K = TypeVar("K")
V = TypeVar("V")


class Transaction(Reader):
    """A batch's own view: reads see its changes, writes touch nothing but the overlay.

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

    # Reading

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

    def next_number(self, study_id: int) -> int:
        """Return the number that the study's next trial will get. Raises NotFound."""
        self.study(study_id)
        base = self._base.counters.numbers.get(study_id, 0)
        return self.overlay.numbers.get(study_id, base)

    def stored_report(self, study_id: int, number: int, attempt: int, step: int) -> Report | None:
        """Return the report that an attempt stored at a step, or None."""
        stored = self.overlay.reports.get(ReportKey(study_id, number, attempt, step))
        if stored is not None:
            return stored.report
        return self._memory.stored_report(study_id, number, attempt, step)

    def reply(self, key: str) -> StoredReply | None:
        """Return the stored idempotent reply, or None."""
        if key in self.overlay.replies:
            return self.overlay.replies[key]
        return self._base.replies.get(key)

    # Writing

    def _next_id(self, name: str) -> int:
        value: int = self.overlay.counters.get(name, getattr(self._base.counters, name))
        self._set(self.overlay.counters, name, value + 1)
        return value

    def _taken(self, name: str) -> int | None:
        if name in self.overlay.optuna.names:
            return self.overlay.optuna.names[name]
        return self._find_name(name) or self._base.counters.foreign_names.get(name)

    @property
    def optuna(self) -> OptunaTransaction:
        """All studies as Optuna sees them. Raises Unavailable where they were not loaded."""
        if self._base.optuna is None:
            raise Unavailable("this ledger was opened without Optuna's studies")
        return OptunaTransaction(
            self._base.optuna, self.overlay.optuna,
            assign=self._set, next_id=self._next_id, taken=self._taken,
        )  # fmt: skip

    def new_study(self, name: str, spec: StudySpec, created_by: str, now: datetime) -> Study:
        """Create a queued study. Raises DuplicateName."""
        if (taken := self._taken(name)) is not None:
            raise DuplicateName(f"a study named {name!r} exists", study_id=taken)
        study = Study(
            study_id=self._next_id("study_id"), name=name, spec=spec,
            created_by=created_by, created_at=now,
        )  # fmt: skip
        self._set(self.overlay.studies, study.study_id, study)
        self._set(self.overlay.names, name, study.study_id)
        return study

    def put_study(self, study: Study) -> None:
        """Replace a study. Its name stays, as brackets derive from it. Raises NotFound."""
        if study.name != self.study(study.study_id).name:
            raise InvalidInput("a study can't be renamed")
        self._set(self.overlay.studies, study.study_id, study)

    def drop_study(self, study_id: int) -> Study:
        """Remove a study that is over, with all that belongs to it, and return it.

        Raises:
            NotFound: there is none.
            StudyState: it is not over.
        """
        study = self.study(study_id)
        if not study.is_over:
            raise StudyState(
                f"study {study.name!r} is {study.state}; cancel it first", state=study.state.value
            )
        self._set(self.overlay.dropped, study_id, study)
        return study

    def new_trial(  # noqa: PLR0917
        self,
        study_id: int,
        params: Params,
        origin: Origin,
        seed: int,
        now: datetime,
        note: str = "",
    ) -> Trial:
        """Create a waiting trial with the study's next number. Raises NotFound, InvalidInput.

        `note` is kept beside Optuna's row, as its user attribute `tuner:note`.
        """
        space = self.study(study_id).space
        if faults := space.faults(params):
            raise InvalidInput("; ".join(faults))
        number = self.next_number(study_id)
        trial = Trial(
            trial_id=self._next_id("trial_id"), study_id=study_id, number=number,
            params=exact(space, params), seed=seed, origin=origin, created_at=now,
        )  # fmt: skip
        self._set(self.overlay.numbers, study_id, number + 1)
        self._put(None, trial)
        if note:
            self._set(self.overlay.notes, TrialKey(study_id, number), note)
        return trial

    def adopt_trial(self, trial: Trial, record: OptunaRecord) -> Trial:
        """Store a trial that ended elsewhere as the study's next one. Raises NotFound.

        It gets its id and number here. `record` stands in Optuna's tables as it is.
        """
        number = self.next_number(trial.study_id)
        adopted = trial.evolve(trial_id=self._next_id("trial_id"), number=number)
        self._set(self.overlay.numbers, trial.study_id, number + 1)
        self._put(None, adopted)
        self._set(self.overlay.records, TrialKey(trial.study_id, number), record)
        return adopted

    def put_attribute(self, study_id: int, key: str, value: Any) -> None:
        """Give a study a user attribute that Optuna's readers see. Raises NotFound."""
        self.study(study_id)
        self._set(self.overlay.attributes, (study_id, key), value)

    def put_trial(self, trial: Trial) -> None:
        """Replace a trial. Raises TrialEnded if it has ended and would change, NotFound.

        Its parameters, seed and origin stay as they were created. `trial.lease` must be what
        `open_attempt` gave it, None after `close_attempt`.
        """
        old = self.trial(trial.study_id, trial.number)
        if old.state is TrialState.ENDED:
            if trial == old:
                return
            raise TrialEnded(
                f"trial {trial.number} has ended as {old.outcome}", outcome=old.outcome
            )
        if trial.value is not None and not math.isfinite(trial.value):
            raise InvalidInput(f"a trial's value is a finite number, not {trial.value}")
        self._put(old, trial)

    def _put(self, old: Trial | None, trial: Trial) -> None:
        self._set(self.overlay.trials.setdefault(trial.study_id, {}), trial.number, trial)
        index = self.overlay.index.setdefault(trial.study_id, {})
        for key, value in changed_entries(old, trial).items():
            self._set(index.setdefault(key, {}), trial.number, value)

    def add_report(
        self,
        trial: Trial,
        attempt: int,
        report: Report,
        metrics: Mapping[str, float],
        at: datetime,
    ) -> None:
        """Store an attempt's report. Raises ReportMismatch if another one is stored at its step."""
        key = ReportKey(trial.study_id, trial.number, attempt, report.step)
        if (stored := self.stored_report(*key)) is not None:
            if same_report(stored, report):
                return
            raise ReportMismatch(f"step {report.step} was reported as {stored.value}")
        self._set(
            self.overlay.reports,
            key,
            StoredReport(trial_id=trial.trial_id, report=report, metrics=dict(metrics), at=at),
        )

    def open_attempt(self, trial: Trial, lease: Lease, now: datetime) -> None:
        """Make `lease` valid. Raises StaleAttempt if another one holds the trial."""
        key = TrialKey(trial.study_id, trial.number)
        if self._holder(key) is not None or self._find_attempt(lease.token) is not None:
            raise StaleAttempt(f"trial {trial.number} is held by another attempt")
        resumed = trial.checkpoint.step if trial.checkpoint else 0
        attempt = Attempt(
            trial_id=trial.trial_id, lease=lease, resumed_step=resumed, started_at=now
        )
        self._set(self.overlay.attempts, lease.token, attempt)
        self._set(self.overlay.holders, key, lease.token)

    def close_attempt(self, trial: Trial, end: AttemptEnd, now: datetime) -> None:
        """Make the lease that holds the trial void. Raises StaleAttempt if none does."""
        key = TrialKey(trial.study_id, trial.number)
        token = self._holder(key)
        attempt = None if token is None else self._find_attempt(token)
        if token is None or attempt is None:
            raise StaleAttempt(f"no attempt holds trial {trial.number}")
        self._set(self.overlay.attempts, token, None)
        self._set(self.overlay.holders, key, None)
        closed = AttemptKey(*key, attempt.lease.attempt)
        self._set(self.overlay.closed, closed, replace(attempt, ended_at=now, end=end))

    def _holder(self, key: TrialKey) -> str | None:
        if key in self.overlay.holders:
            return self.overlay.holders[key]
        return self._base.holders.get(key)

    def add_checkpoint(self, trial: Trial, checkpoint: Checkpoint, at: datetime) -> None:
        """Register a checkpoint."""
        row = StoredCheckpoint(trial_id=trial.trial_id, checkpoint=checkpoint, at=at)
        self._set(self.overlay.checkpoints, len(self.overlay.checkpoints), row)

    def add_event(self, event: Event) -> None:
        """Append an event; it gets its `seq` at the commit. Raises NotFound."""
        self.study(event.study_id)
        self._set(self.overlay.events, len(self.overlay.events), event)

    def put_worker(self, worker: Worker) -> None:
        """Register a worker or replace it."""
        self._set(self.overlay.workers, worker.worker_id, worker)

    def drop_worker(self, worker_id: str) -> None:
        """Take a worker off the fleet. Raises NotFound."""
        if self._find_worker(worker_id) is None:
            raise NotFound(f"no worker has the id {worker_id}")
        self._set(self.overlay.workers, worker_id, None)

    def put_reply(self, key: str, digest: str, status: int, body: bytes, now: datetime) -> None:
        """Keep the reply to a request with an Idempotency-Key, for `REPLY_KEPT`."""
        for old in islice(self._base.replies.values(), 2):
            if old.at < now - REPLY_KEPT and old.key not in self.overlay.replies:
                self._set(self.overlay.replies, old.key, None)
        reply = StoredReply(key=key, digest=digest, status=status, body=body, at=now)
        self._set(self.overlay.replies, key, reply)
