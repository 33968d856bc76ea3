"""What a command may do to Optuna's studies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.study import StudyDirection
from optuna.trial import TrialState

from storage.optuna_records.state import OptunaOverlay, OptunaTables
from storage.optuna_records.values import OptunaStudy, OptunaTrial, Suggested, as_stored
from tuner.errors import Conflict, DuplicateName, InvalidInput, NotFound, TrialEnded

NAME_PREFIX = "no-name-"
OUR_PREFIX = "tuner:"
Kind = Literal["user_attrs", "system_attrs"]
Assign = Callable[[dict[Any, Any], Any, Any], None]


class OptunaTransaction:
    """A batch's own view of Optuna's studies: reads see its changes, the memory stays as it is.

    The service's own studies take attributes and nothing else: all other methods that write raise
    Conflict for them. A trial that has ended raises TrialEnded.
    """

    def __init__(
        self,
        base: OptunaTables,
        overlay: OptunaOverlay,
        *,
        assign: Assign,
        next_id: Callable[[str], int],
        taken: Callable[[str], int | None],
    ) -> None:
        """Write by `assign(table, key, value)`, which remembers how to undo it."""
        self._base = base
        self._overlay = overlay
        self._assign = assign
        self._next_id = next_id
        self._taken = taken

    def study(self, study_id: int) -> OptunaStudy:
        """Return a study. Raises NotFound."""
        if study_id not in self._overlay.studies:
            return self._base.study(study_id)
        if (study := self._overlay.studies[study_id]) is None:
            raise NotFound(f"no study has the id {study_id}")
        return study

    def trial(self, trial_id: int) -> OptunaTrial:
        """Return a trial. Raises NotFound."""
        trial = self._overlay.trials.get(trial_id) or self._base.trial(trial_id)
        self.study(trial.study_id)
        return trial

    # Studies

    def new_study(self, name: str | None, directions: Sequence[StudyDirection]) -> OptunaStudy:
        """Create a study, with a name of its own if `name` is None. Raises DuplicateName."""
        name = f"{NAME_PREFIX}{uuid4()}" if name is None else name
        if (taken := self._taken(name)) is not None:
            raise DuplicateName(f"a study named {name!r} exists", study_id=taken)
        study = OptunaStudy(
            study_id=self._next_id("study_id"), name=name, directions=tuple(directions)
        )
        self._assign(self._overlay.studies, study.study_id, study)
        self._assign(self._overlay.names, name, study.study_id)
        return study

    def delete_study(self, study_id: int) -> None:
        """Delete a study with its trials. Raises NotFound."""
        study = self._theirs(study_id)
        self._assign(self._overlay.studies, study_id, None)
        self._assign(self._overlay.names, study.name, None)

    def set_study_attr(self, study_id: int, kind: Kind, key: str, value: Any) -> None:
        """Set an attribute. Raises NotFound, Conflict for the service's own attributes."""
        study = self.study(study_id)
        _check_key(study, key)
        attributes = {**getattr(study, kind), key: as_stored(value)}
        self._assign(self._overlay.studies, study_id, study.evolve(**{kind: attributes}))

    # Trials

    def new_trial(self, study_id: int, template: OptunaTrial) -> OptunaTrial:
        """Create a trial like `template`, with the study's next number.

        Raises:
            NotFound: there is no such study.
            InvalidInput: a value is not a number.
            ValueError: a distribution is not compatible with the study's.
        """
        self._theirs(study_id)
        number = self._overlay.counts.get(study_id, len(self._base.trials.get(study_id, {})))
        trial = template.evolve(
            trial_id=self._next_id("trial_id"), study_id=study_id, number=number
        )
        _check_values(trial.values)
        for name, suggested in trial.params.items():
            self._check_distribution(study_id, name, suggested.distribution)
        self._assign(self._overlay.counts, study_id, number + 1)
        self._put(trial)
        return trial

    def set_param(
        self, trial_id: int, name: str, internal: float, distribution: BaseDistribution
    ) -> None:
        """Set a parameter. Raises NotFound; ValueError if the study's distribution is another."""
        trial = self._open(trial_id)
        self._check_distribution(trial.study_id, name, distribution)
        suggested = Suggested(float(internal), distribution)
        self._put(trial.evolve(params={**trial.params, name: suggested}))

    def set_state(
        self,
        trial_id: int,
        state: TrialState,
        values: Sequence[float] | None,
        now: datetime,
    ) -> bool:
        """Set a trial's state and values; claim a waiting one by `RUNNING`.

        Returns False, and changes nothing, if another caller has claimed it. Raises NotFound.
        """
        trial = self._open(trial_id)
        if state is TrialState.RUNNING and trial.state is not TrialState.WAITING:
            return False
        changes: dict[str, Any] = {"state": state}
        if values is not None:
            changes["values"] = tuple(float(v) for v in values)
            _check_values(changes["values"])
        if state is TrialState.RUNNING:
            changes["started_at"] = now
        if state.is_finished():
            changes["completed_at"] = now
        self._put(trial.evolve(**changes))
        return True

    def set_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        """Set the value of a step, over an earlier one if there is any. Raises NotFound."""
        trial = self._open(trial_id)
        values = {**trial.intermediate_values, int(step): float(value)}
        self._put(trial.evolve(intermediate_values=values))

    def set_trial_attr(self, trial_id: int, kind: Kind, key: str, value: Any) -> None:
        """Set an attribute. Raises NotFound, Conflict for the service's own attributes."""
        trial = self._unfinished(trial_id)
        _check_key(self.study(trial.study_id), key)
        self._put(trial.evolve(**{kind: {**getattr(trial, kind), key: as_stored(value)}}))

    def _theirs(self, study_id: int) -> OptunaStudy:
        study = self.study(study_id)
        if study.ours:
            raise Conflict(
                f"the service runs study {study.name!r}: through Optuna it can be read "
                "and given attributes, no more"
            )
        return study

    def _open(self, trial_id: int) -> OptunaTrial:
        trial = self._unfinished(trial_id)
        self._theirs(trial.study_id)
        return trial

    def _unfinished(self, trial_id: int) -> OptunaTrial:
        trial = self.trial(trial_id)
        if trial.state.is_finished():
            raise TrialEnded(f"trial {trial.number} has already finished and can't be updated")
        return trial

    def _put(self, trial: OptunaTrial) -> None:
        self._assign(self._overlay.trials, trial.trial_id, trial)

    def _check_distribution(self, study_id: int, name: str, distribution: BaseDistribution) -> None:
        known = self._overlay.distributions.get((study_id, name))
        known = known or self._base.distributions.get(study_id, {}).get(name)
        if known is not None:
            check_distribution_compatibility(known, distribution)
        else:
            self._assign(self._overlay.distributions, (study_id, name), distribution)


def _check_key(study: OptunaStudy, key: str) -> None:
    if study.ours and key.startswith(OUR_PREFIX):
        raise Conflict(f"attributes {OUR_PREFIX}… of study {study.name!r} are the service's own")


def _check_values(values: Sequence[float]) -> None:
    if any(math.isnan(v) for v in values):
        raise InvalidInput("a trial's value is a number, not nan")
