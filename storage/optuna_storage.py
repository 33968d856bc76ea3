"""The ledger as an Optuna storage."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from storage.background import shared_ledger
from storage.optuna_records.state import OptunaTables
from storage.optuna_records.transaction import OptunaTransaction
from storage.optuna_records.values import OptunaTrial, from_template
from tuner.errors import DuplicateName, InvalidInput, NotFound, TrialEnded, Unavailable

T = TypeVar("T")


def open_storage(url: str) -> LedgerStorage:
    """Return a database as an Optuna storage, owned by this process while it is in use.

    Objects of one process and one URL share one ledger.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`.

    Raises:
        InvalidInput: the URL names no database we can use.
        OwnerLost: another process owns it.
        SchemaMismatch: its tables are those of another version.
        Unavailable: it does not answer.
    """
    return LedgerStorage(url)


class LedgerStorage(BaseStorage):
    """An `optuna.storages.BaseStorage` on the ledger. Thread-safe; pickled as its URL.

    Guarantees: a method that writes returns after the commit that holds its change; threads that
    write at the same time share commits; one caller alone claims a waiting trial; reading costs no
    SQL. Each change is stored as `optuna.storages.RDBStorage` reads it.

    Studies that the service made can be read, and given attributes; other writes to them raise
    `tuner.errors.Conflict`. Errors that Optuna has no name for are those of `tuner.errors`:
    Unavailable and StorageFull (nothing was stored), OwnerLost.
    """

    def __init__(self, url: str) -> None:
        """Share the process's ledger of the database. Raises as `open_storage`."""
        self._url = url
        self._ledger = shared_ledger(url)

    def __reduce__(self) -> tuple[type[LedgerStorage], tuple[str]]:
        return type(self), (self._url,)

    def close(self) -> None:
        """Give the database back, for all objects of this process that share its ledger.

        It is given back too when the last of them is forgotten, and at the end of the process.
        """
        self._ledger.close()

    @property
    def _tables(self) -> OptunaTables:
        if (tables := self._ledger.memory.tables.optuna) is None:
            raise Unavailable("this ledger was opened without Optuna's studies")
        return tables

    def _write(self, command: Callable[[OptunaTransaction], T]) -> T:
        with _optunas_errors():
            return self._ledger.write(lambda tx: command(tx.optuna))

    # Studies

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study. Raises DuplicatedStudyError."""
        return self._write(lambda tx: tx.new_study(study_name, directions).study_id)

    def delete_study(self, study_id: int) -> None:
        """Delete a study with its trials. Raises KeyError."""
        self._write(lambda tx: tx.delete_study(study_id))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a user's attribute. Raises KeyError, TypeError if the value is not for JSON."""
        self._write(lambda tx: tx.set_study_attr(study_id, "user_attrs", key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of Optuna's own. Raises KeyError."""
        self._write(lambda tx: tx.set_study_attr(study_id, "system_attrs", key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the study of this name. Raises KeyError."""
        with _optunas_errors():
            return self._tables.study_named(study_name).study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return a study's name. Raises KeyError."""
        with _optunas_errors():
            return self._tables.study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the direction of each objective. Raises KeyError."""
        with _optunas_errors():
            return list(self._tables.study(study_id).directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the users' attributes. Raises KeyError."""
        with _optunas_errors():
            return dict(self._tables.study(study_id).user_attrs)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return Optuna's own attributes. Raises KeyError."""
        with _optunas_errors():
            return dict(self._tables.study(study_id).system_attrs)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies, oldest first."""
        return [study.view() for study in self._tables.all_studies()]

    # Trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, running unless the template says otherwise.

        Raises KeyError; ValueError if a distribution is not compatible with the study's.
        """
        template = _running() if template_trial is None else from_template(template_trial)
        return self._write(lambda tx: tx.new_trial(study_id, template).trial_id)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter. Raises KeyError, UpdateFinishedTrialError, ValueError."""
        self._write(
            lambda tx: tx.set_param(trial_id, param_name, param_value_internal, distribution)
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set the state and the values; False if a trial to be claimed is running already.

        Raises KeyError, UpdateFinishedTrialError, ValueError.
        """
        now = datetime.now(UTC)
        return self._write(lambda tx: tx.set_state(trial_id, state, values, now))

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set the value of a step. Raises KeyError, UpdateFinishedTrialError."""
        self._write(lambda tx: tx.set_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user's attribute. Raises KeyError, UpdateFinishedTrialError."""
        self._write(lambda tx: tx.set_trial_attr(trial_id, "user_attrs", key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of Optuna's own. Raises KeyError, UpdateFinishedTrialError."""
        self._write(lambda tx: tx.set_trial_attr(trial_id, "system_attrs", key, value))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial. Raises KeyError."""
        return self._trial(trial_id).view()

    def get_trial_param(self, trial_id: int, param_name: str) -> float:
        """Return a parameter in Optuna's internal form. Raises KeyError."""
        return self._trial(trial_id).params[param_name].internal

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """Return a trial's number in its study. Raises KeyError."""
        return self._trial(trial_id).number

    def get_trial_user_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return the users' attributes. Raises KeyError."""
        return dict(self._trial(trial_id).user_attrs)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Return Optuna's own attributes. Raises KeyError."""
        return dict(self._trial(trial_id).system_attrs)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return a study's trials, oldest first. Raises KeyError."""
        with _optunas_errors():
            trials = self._tables.study_trials(study_id)
        chosen = trials if states is None else [t for t in trials if t.state in states]
        return [t.view(deep=True) for t in chosen] if deepcopy else [t.shared for t in chosen]

    def _trial(self, trial_id: int) -> OptunaTrial:
        with _optunas_errors():
            return self._tables.trial(trial_id)


def _running() -> OptunaTrial:
    return OptunaTrial(
        trial_id=0, study_id=0, number=0, state=TrialState.RUNNING, started_at=datetime.now(UTC)
    )


@contextmanager
def _optunas_errors() -> Iterator[None]:
    """Raise what Optuna's contract names in the place of our own errors."""
    try:
        yield
    except NotFound as exc:
        raise KeyError(exc.detail) from exc
    except DuplicateName as exc:
        raise DuplicatedStudyError(exc.detail) from exc
    except TrialEnded as exc:
        raise UpdateFinishedTrialError(exc.detail) from exc
    except InvalidInput as exc:
        raise ValueError(exc.detail) from exc
