"""Studies of plain Optuna on the ledger: what is stored, and what others read of it."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from storage import open_storage
from storage.optuna_storage import LedgerStorage
from tests.contract.ledger_database import execute
from tests.contract.optuna_studies import curve_objective, fill, seen
from tests.contract.test_storage_optuna import optuna_storage


def test_optuna_reads_what_the_storage_tells_and_a_new_owner_too(
    url: str, storage: LedgerStorage
) -> None:
    fill(storage, "ours")
    told = seen(storage)
    assert len(told) == 3
    with optuna_storage(url) as plain:
        assert seen(plain) == told
    storage.close()
    assert seen(open_storage(url)) == told


def test_a_study_of_plain_optuna_opens_and_goes_on(url: str) -> None:
    with optuna_storage(url) as plain:
        fill(plain, "theirs")
        told = seen(plain)
    storage = open_storage(url)
    assert seen(storage) == told
    study = optuna.load_study(study_name="theirs-single", storage=storage)
    study.optimize(curve_objective, n_trials=2)
    assert [t.number for t in study.trials] == list(range(9))
    told = seen(storage)
    storage.close()
    with optuna_storage(url) as plain:
        assert seen(plain) == told
        study = optuna.load_study(study_name="theirs-single", storage=plain)
        study.optimize(curve_objective, n_trials=2)
        assert [t.number for t in study.trials] == list(range(11))


def test_a_deleted_study_leaves_no_rows(url: str, storage: LedgerStorage) -> None:
    fill(storage, "kept")
    told = seen(storage)
    fill(storage, "gone")
    for name in ("gone-several", "gone-single", "gone-empty"):
        optuna.delete_study(study_name=name, storage=storage)
    assert seen(storage) == told
    with optuna_storage(url) as plain:
        assert seen(plain) == told
    again = optuna.create_study(storage=storage, study_name="gone-single")
    assert again.trials == []


def test_deleting_a_study_of_plain_optuna_takes_its_heartbeats_along(url: str) -> None:
    with optuna_storage(url) as plain:
        study = optuna.create_study(study_name="theirs", storage=plain)
        trial = study.ask()
    execute(url, f"INSERT INTO trial_heartbeats (trial_id, heartbeat) "
                 f"VALUES ({trial._trial_id}, CURRENT_TIMESTAMP)")  # fmt: skip
    storage = open_storage(url)
    optuna.delete_study(study_name="theirs", storage=storage)
    assert storage.get_all_studies() == []
    storage.close()


def test_what_a_caller_changes_in_its_copies_is_its_own(storage: LedgerStorage) -> None:
    study = optuna.create_study(storage=storage)
    given = {"list": [1]}
    trial = study.ask()
    trial.set_user_attr("given", given)
    given["list"].append(2)
    (copied,) = storage.get_all_trials(study._study_id)
    copied.user_attrs["given"]["list"].append(3)
    storage.get_trial(trial._trial_id).intermediate_values[0] = 1.0
    assert storage.get_trial(trial._trial_id).user_attrs == {"given": {"list": [1]}}
    assert storage.get_trial(trial._trial_id).intermediate_values == {}
    assert optuna.load_study(study_name=study.study_name, storage=storage).trials[0].params == {}


def test_a_name_that_is_taken_is_refused(url: str, storage: LedgerStorage) -> None:
    optuna.create_study(storage=storage, study_name="s")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=storage, study_name="s")
    with optuna_storage(url) as plain:
        optuna.create_study(storage=plain, study_name="theirs")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=storage, study_name="theirs")
    optuna.create_study(storage=storage, study_name="s", load_if_exists=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda s, study, trial: s.set_trial_state_values(trial, TrialState.COMPLETE, [math.nan]),
        lambda s, study, trial: s.set_trial_intermediate_value(trial, 2**70, 1.0),
    ],
)
def test_what_no_database_holds_is_refused(
    storage: LedgerStorage, write: Callable[[LedgerStorage, int, int], Any]
) -> None:
    study = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    trial = storage.create_new_trial(study)
    told = seen(storage)
    with pytest.raises(ValueError):  # noqa: PT011
        write(storage, study, trial)
    with pytest.raises(TypeError):
        storage.set_trial_user_attr(trial, "key", object())
    assert seen(storage) == told


def test_a_name_that_postgresql_has_no_room_for_is_told(postgres_url: str) -> None:
    with closing(open_storage(postgres_url)) as storage:
        with pytest.raises(ValueError, match="longer than 512 characters"):
            storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "x" * 513)
        storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "x" * 512)


# Threads


def test_threads_lose_no_trial_and_share_numbers(storage: LedgerStorage) -> None:
    study = optuna.create_study(
        storage=storage, sampler=optuna.samplers.RandomSampler(), study_name="threads"
    )

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 1)
        trial.set_user_attr("number", trial.number)
        return x

    with ThreadPoolExecutor(8) as threads:
        runs = [threads.submit(study.optimize, objective, n_trials=10) for _ in range(8)]
        for run in runs:
            run.result()
    trials = study.get_trials(deepcopy=False)
    assert [t.number for t in trials] == list(range(80))
    assert len({t._trial_id for t in trials}) == 80
    for trial in trials:
        assert trial.state is TrialState.COMPLETE
        assert trial.user_attrs == {"number": trial.number}
        assert trial.intermediate_values == {1: trial.value}


def test_each_waiting_trial_goes_to_one_thread(storage: LedgerStorage) -> None:
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler())
    for i in range(40):
        study.enqueue_trial({"i": i})
    together = threading.Barrier(8)

    def claim() -> list[int]:
        together.wait()
        return [study.ask().suggest_int("i", 0, 1000) for _ in range(5)]

    with ThreadPoolExecutor(8) as threads:
        claims = [threads.submit(claim) for _ in range(8)]
        claimed = Counter(i for c in claims for i in c.result())
    assert claimed == Counter(range(40))
