"""What is held in memory of Optuna's studies, and what a batch changes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optuna.distributions import BaseDistribution

from storage.optuna_records.values import OptunaStudy, OptunaTrial
from tuner.errors import NotFound


@dataclass(frozen=True, kw_only=True)
class OptunaChanges:
    """What one commit writes of Optuna's studies: pairs of before (None: it is new) and after.

    Studies of the ids in `deleted` go first, with all that belongs to them.
    """

    deleted: tuple[int, ...] = ()
    studies: tuple[tuple[OptunaStudy | None, OptunaStudy], ...] = ()
    trials: tuple[tuple[OptunaTrial | None, OptunaTrial], ...] = ()

    def __bool__(self) -> bool:
        return any((self.deleted, self.studies, self.trials))


@dataclass
class OptunaOverlay:
    """What a batch has changed so far, by key. None removes."""

    studies: dict[int, OptunaStudy | None] = field(default_factory=dict)
    names: dict[str, int | None] = field(default_factory=dict)
    trials: dict[int, OptunaTrial] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    distributions: dict[tuple[int, str], BaseDistribution] = field(default_factory=dict)


@dataclass
class OptunaTables:
    """All studies of the database as Optuna sees them, the service's own among them.

    Read it from any thread: values are replaced, never changed. Only the ledger writes here.
    """

    studies: dict[int, OptunaStudy] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    trials: dict[int, dict[int, OptunaTrial]] = field(default_factory=dict)
    """Study id to trial id to trial, oldest first."""
    homes: dict[int, int] = field(default_factory=dict)
    """Trial id to study id."""
    distributions: dict[int, dict[str, BaseDistribution]] = field(default_factory=dict)
    """Study id to parameter to the distribution that its later ones must be compatible with."""

    def study(self, study_id: int) -> OptunaStudy:
        """Return a study. Raises NotFound."""
        if (study := self.studies.get(study_id)) is None:
            raise NotFound(f"no study has the id {study_id}")
        return study

    def study_named(self, name: str) -> OptunaStudy:
        """Return the study of this name. Raises NotFound."""
        if (study_id := self.names.get(name)) is None:
            raise NotFound(f"no study is named {name!r}")
        return self.study(study_id)

    def all_studies(self) -> Sequence[OptunaStudy]:
        """Return all studies, oldest first."""
        return tuple(self.studies.values())

    def trial(self, trial_id: int) -> OptunaTrial:
        """Return a trial. Raises NotFound."""
        home = self.trials.get(self.homes.get(trial_id, 0), {})
        if (trial := home.get(trial_id)) is None:
            raise NotFound(f"no trial has the id {trial_id}")
        return trial

    def study_trials(self, study_id: int) -> Sequence[OptunaTrial]:
        """Return a study's trials, oldest first. Raises NotFound."""
        self.study(study_id)
        return tuple(self.trials.get(study_id, {}).values())

    def put_study(self, study: OptunaStudy) -> None:
        """Add a study or replace it."""
        self.studies[study.study_id] = study
        self.names[study.name] = study.study_id

    def put_trial(self, trial: OptunaTrial) -> None:
        """Add a trial or replace it."""
        self.trials.setdefault(trial.study_id, {})[trial.trial_id] = trial
        self.homes[trial.trial_id] = trial.study_id
        known = self.distributions.setdefault(trial.study_id, {})
        if len(known) < len(trial.params) or not known.keys() >= trial.params.keys():
            for name, suggested in trial.params.items():
                known.setdefault(name, suggested.distribution)

    def drop_study(self, study_id: int) -> OptunaStudy:
        """Remove a study with its trials, and return it."""
        study = self.studies.pop(study_id)
        del self.names[study.name]
        for trial_id in self.trials.pop(study_id, {}):
            del self.homes[trial_id]
        self.distributions.pop(study_id, None)
        return study
