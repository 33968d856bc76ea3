"""Who owns the database of an Optuna storage, and who shares its ledger."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from storage import open_ledger, open_storage
from storage.optuna_storage import LedgerStorage
from tests.contract.ledger_database import execute
from tests.contract.optuna_studies import seen
from tests.contract.test_storage_optuna import optuna_storage
from tests.databases import lay_database
from tuner.errors import OwnerLost, Unavailable


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return lay_database(tmp_path / "tuner.db")


def test_objects_of_one_url_share_one_ledger(sqlite_url: str) -> None:
    first, second = open_storage(sqlite_url), open_storage(sqlite_url)
    restored = pickle.loads(pickle.dumps(first))
    study_id = first.create_new_study([StudyDirection.MINIMIZE])
    assert second.create_new_trial(study_id) == restored.get_all_trials(study_id)[0]._trial_id
    second.close()
    with pytest.raises(Unavailable):
        first.create_new_trial(study_id)
    assert len(first.get_all_trials(study_id)) == 1
    third = open_storage(sqlite_url)
    assert third.create_new_trial(study_id) == 2
    third.close()


def test_a_forgotten_storage_gives_the_database_back(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    storage.create_new_study([StudyDirection.MINIMIZE])
    del storage
    storage = open_storage(sqlite_url)
    assert len(storage.get_all_studies()) == 1
    del storage

    async def run() -> None:
        async with open_ledger(sqlite_url) as ledger:
            assert ledger.lost is None

    for thread in threading.enumerate():
        if thread.name == "ledger":
            thread.join()
    asyncio.run(run())


_SCRIPT = """
import sys, threading
from datetime import datetime
import optuna
from storage import open_storage
from tuner.errors import OwnerLost

try:
    storage = open_storage(sys.argv[1])
except OwnerLost as exc:
    sys.exit(f"refused: {exc.detail}")
study = optuna.create_study(storage=storage, study_name=sys.argv[2])
study.add_trial(
    optuna.trial.FrozenTrial(
        number=0, trial_id=0, state=optuna.trial.TrialState.COMPLETE, value=1.0,
        datetime_start=datetime(2026, 1, 2, 3, 4, 5, 6), datetime_complete=datetime.now(),
        params={}, distributions={}, user_attrs={}, system_attrs={}, intermediate_values={},
    )
)
# Threads that outlive the main one still store what they find.
threads = [
    threading.Thread(target=study.optimize, args=(lambda t: t.suggest_float("x", 0, 1), 20))
    for _ in range(2)
]
for thread in threads:
    thread.start()
"""


def _script(url: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT, url, name],
        env={**os.environ, "TZ": "America/New_York", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_second_process_is_refused_until_the_first_is_done(url: str) -> None:
    storage = open_storage(url)
    ran = _script(url, "early")
    assert ran.returncode == 1
    assert f"refused: process {os.getpid()} on" in ran.stderr
    storage.close()
    ran = _script(url, "late")
    assert ran.returncode == 0, ran.stderr
    storage = open_storage(url)
    study = optuna.load_study(study_name="late", storage=storage)
    added, *others = study.get_trials(states=(TrialState.COMPLETE,))
    assert len(others) == 40
    in_new_york = datetime(2026, 1, 2, 3, 4, 5, 6, ZoneInfo("America/New_York"))
    assert added.datetime_start == in_new_york.astimezone().replace(tzinfo=None)
    with optuna_storage(url) as plain:
        assert seen(plain) == seen(storage)
    storage.close()


def _in_a_fork(storage: LedgerStorage, url: str, told: Any) -> None:
    found = []
    for use in (
        storage.get_all_studies,
        lambda: storage.create_new_study([StudyDirection.MINIMIZE]),
        lambda: open_storage(url),
    ):
        try:
            use()
        except OwnerLost as exc:
            found.append(exc.detail)
    told.put(found)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_is_refused_and_does_not_hang(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    child = context.Process(target=_in_a_fork, args=(storage, sqlite_url, told))
    child.start()
    assert len(told.get(timeout=60)) == 3
    child.join(60)
    storage.create_new_study([StudyDirection.MINIMIZE])
    storage.close()


def test_a_broken_connection_costs_the_writes_under_way(postgres_url: str) -> None:
    storage = open_storage(postgres_url)
    study = storage.create_new_study([StudyDirection.MINIMIZE])
    execute(
        postgres_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'tuner' AND datname = current_database()",
    )
    with pytest.raises(Unavailable):
        storage.create_new_trial(study)
    assert storage.get_all_trials(study) == []
    trial = storage.create_new_trial(study)
    with optuna_storage(postgres_url) as plain:
        assert [t._trial_id for t in plain.get_all_trials(study)] == [trial]
    storage.close()
