"""The overlay on which a batch of commands is decided before anything is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
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
    StoredReport,
    TrialKey,
)
from storage.exact import exact
from storage.index import changed_entries
from storage.memory import same_report
from storage.optuna_records.transaction import OptunaTransaction
from storage.service_writes import ServiceWrites
from tuner.errors import (
    DuplicateName,
    InvalidInput,
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
    Artifact,
    AttemptEnd,
    Checkpoint,
    Event,
    Lease,
    Origin,
    Report,
    Trial,
    TrialState,
)


class Transaction(ServiceWrites):
    """A batch's own view: reads see its changes, writes touch nothing but the overlay."""

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

    def put_spec(self, change: SpecChange) -> None:
        """Keep a study's document before and after a change of its space, as its next versions."""
        number = sum(study_id == change.study.study_id for study_id, _ in self.overlay.specs)
        self._set(self.overlay.specs, (change.study.study_id, number), change)

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
        study = self.study(study_id)
        space = study.space
        if faults := space.faults(params):
            raise InvalidInput("; ".join(faults))
        number = self.next_number(study_id)
        trial = Trial(
            trial_id=self._next_id("trial_id"), study_id=study_id, number=number,
            params=exact(space, params), seed=seed, origin=origin, created_at=now,
        )  # fmt: skip
        self._set(self.overlay.numbers, study_id, number + 1)
        self._set(self.overlay.born, TrialKey(study_id, number), study)
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

        Of one that has ended the checkpoint may change: its last one may arrive after its end. Its
        parameters, seed and origin stay as they were created. `trial.lease` must be what
        `open_attempt` gave it, None after `close_attempt`.
        """
        old = self.trial(trial.study_id, trial.number)
        if old.state is TrialState.ENDED:
            if trial == old:
                return
            if trial == old.evolve(checkpoint=trial.checkpoint):
                self._put(old, trial)
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

    def add_checkpoint(self, trial: Trial, checkpoint: Checkpoint, at: datetime) -> None:
        """Register a checkpoint."""
        row = StoredCheckpoint(trial_id=trial.trial_id, checkpoint=checkpoint, at=at)
        self._set(self.overlay.checkpoints, len(self.overlay.checkpoints), row)
        self._hold(trial, checkpoint.size)

    def drop_checkpoint(self, trial: Trial, checkpoint: Checkpoint) -> None:
        """Forget a registered checkpoint; its file is the caller's to delete."""
        place = (trial.trial_id, checkpoint.attempt, checkpoint.step)
        self._set(self.overlay.checkpoints_dropped, place, True)
        self._hold(trial, -checkpoint.size)

    def put_artifact(
        self, trial: Trial, artifact: Artifact, at: datetime, replaced: Artifact | None = None
    ) -> None:
        """Register a file of a trial, in the place of the one that had its name."""
        row = StoredArtifact(trial_id=trial.trial_id, artifact=artifact, at=at)
        self._set(self.overlay.artifacts, (trial.trial_id, artifact.name), row)
        self._hold(trial, artifact.size - (0 if replaced is None else replaced.size))

    def put_mark(self, store_id: str, name: str) -> None:
        """Note the id with which a store of files is marked as this database's."""
        self._set(self.overlay.marks, store_id, name)

    def _hold(self, trial: Trial, grown: int) -> None:
        before = self.overlay.held_bytes.get(trial.study_id, 0)
        self._set(self.overlay.held_bytes, trial.study_id, before + grown)

    def put_environment(self, environment: StoredEnvironment) -> None:
        """Store what an attempt runs on and with, instead of what was stored before."""
        key = (environment.trial_id, environment.attempt)
        self._set(self.overlay.environments, key, environment)

    def add_event(self, event: Event) -> None:
        """Append an event; it gets its `seq` at the commit. Raises NotFound."""
        self.study(event.study_id)
        self._set(self.overlay.events, len(self.overlay.events), event)
