"""A study of plain Optuna taken over: what the ledger holds, and what Optuna reads back."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from storage import Ledger, queries
from storage.adopting import read
from storage.check import check as check_database
from storage.engine import database_url
from tests.contract.foreign import NAME, NOW, held, lay_foreign, take_over
from tests.contract.ledger_database import with_ledger
from tests.contract.test_storage_optuna import local, optuna_storage
from tuner.decision import Outcome
from tuner.errors import InvalidInput, NotFound, Unavailable
from tuner.trial import Event, EventKind, Origin, StudyState, TrialState


@pytest.fixture(params=["database", "journal"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give where plain Optuna keeps its study."""
    if request.param == "database":
        found, storage = f"sqlite:///{tmp_path}/theirs.db", _database(tmp_path)
    else:
        found = str(tmp_path / "journal.log")
        storage = JournalStorage(JournalFileBackend(found))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lay_foreign(storage)
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()
    return found


def _database(folder: Path) -> BaseStorage:
    return RDBStorage(f"sqlite:///{folder}/theirs.db")


def renamed(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace(".", "_"): value for name, value in found.items()}


def assert_equal(theirs: FrozenTrial, ours: FrozenTrial) -> None:
    """Compare a trial in the source with what Optuna reads of it from our database."""
    assert ours.number == theirs.number
    assert ours.state is theirs.state
    assert repr(ours.values) == repr(theirs.values)
    assert repr(ours.params) == repr(renamed(theirs.params))
    assert ours.distributions == renamed(theirs.distributions)
    assert repr(ours.intermediate_values) == repr(theirs.intermediate_values)
    assert ours.datetime_start == theirs.datetime_start
    assert ours.datetime_complete == theirs.datetime_complete
    kept = {k: v for k, v in theirs.user_attrs.items() if not k.startswith("tuner:")}
    assert {k: v for k, v in ours.user_attrs.items() if not k.startswith("tuner:")} == kept


def test_finished_trials_read_back_equal(url: str, place: str) -> None:
    source = read(place, NAME)
    take_over(url, place)
    with optuna_storage(url) as storage:
        study = optuna.load_study(study_name=NAME, storage=storage)
        assert study.direction.name == "MAXIMIZE"
        assert study.metric_names == ["val/acc"]
        assert len(study.trials) == len(source.trials)
        finished = [t for t in source.trials if t.state.is_finished()]
        assert len(finished) == 8
        for theirs in finished:
            assert_equal(theirs, study.trials[theirs.number])
        assert study.trials[0].user_attrs["tuner:origin"] == "adopted"


def test_what_had_not_ended_is_cancelled_or_enqueued(url: str, place: str) -> None:
    planned, trials = take_over(url, place)
    assert planned.counts == {
        "complete": 4, "pruned": 2, "fail": 2, "running": 2, "waiting": 2,
    } or planned.counts == {"complete": 4, "pruned": 2, "fail": 2, "running": 2}  # fmt: skip
    with optuna_storage(url) as storage:
        shown = optuna.load_study(study_name=NAME, storage=storage).trials
    for theirs in read(place, NAME).trials[8:]:
        ours, seen = trials[theirs.number], shown[theirs.number]
        if theirs.state is OptunaState.RUNNING:
            assert ours.outcome is Outcome.CANCELLED
            assert ours.reason == "had not ended when the study was adopted"
            assert seen.state is OptunaState.FAIL
            assert seen.params == renamed(theirs.params)
            assert seen.intermediate_values == theirs.intermediate_values
            assert seen.datetime_complete == local(NOW)


def test_memory_is_the_same_after_a_restart(url: str, place: str) -> None:
    _, trials = take_over(url, place)
    study, again = held(url)
    assert repr(again) == repr(trials).replace("TzInfo(0)", "datetime.timezone.utc")
    assert study.state is StudyState.QUEUED
    assert study.name == NAME
    outcomes = [t.outcome for t in trials[:8]]
    assert outcomes == [
        Outcome.COMPLETE, Outcome.DIVERGED, Outcome.PRUNED, Outcome.PRUNED, Outcome.FAILED,
        Outcome.FAILED, Outcome.COMPLETE, Outcome.COMPLETE,
    ]  # fmt: skip
    assert [t.value for t in trials[:8]] == [0.75, None, 9.0, None, None, None, 0.5, -1e300]
    assert [r.step for r in trials[0].reports] == [0, 1, 2, 5]
    assert {t.origin for t in trials[:8]} == {Origin.ADOPTED}
    assert all(t.created_at.tzinfo is not None for t in trials)


def test_the_database_is_sound(url: str, place: str, tmp_path: Path) -> None:
    take_over(url, place)
    assert list(check_database(url, tmp_path)) == []


def test_the_event_tells_where_it_came_from(url: str, place: str) -> None:
    take_over(url, place)
    events: list[Event] = []

    async def body(ledger: Ledger) -> None:
        events.extend(await queries.study_events(ledger, 1, 0, 10))

    with_ledger(url, body)
    assert [e.kind for e in events] == [EventKind.SUBMITTED, EventKind.RESUMED]
    assert events[0].data["adopted_from"] == place
    assert events[1].data["reason"] == "adopted with 10 trials"


def test_waiting_trials_keep_their_parameters(url: str, tmp_path: Path) -> None:
    storage = _database(tmp_path)
    study = optuna.create_study(storage=storage, study_name=NAME)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_int("n", 1, 9)
    study.tell(trial, 0.5)
    study.enqueue_trial({"x": 0.125})
    study.enqueue_trial({"x": 0.5, "other": 1})
    study.add_trial(optuna.trial.create_trial(state=OptunaState.WAITING))
    planned, trials = take_over(url, f"sqlite:///{tmp_path}/theirs.db")
    assert [(t.state, t.origin, dict(t.params)) for t in trials[1:3]] == [
        (TrialState.WAITING, Origin.ENQUEUED, {"x": 0.125, "n": 5}),
        (TrialState.WAITING, Origin.ENQUEUED, {"x": 0.5, "n": 5}),
    ]
    assert trials[3].outcome is Outcome.CANCELLED
    assert planned.notes == (
        "2 trials are enqueued there: enqueued here; parameters they leave open take their middle",
        "1 trial is waiting without parameters: adopted as cancelled",
        "enqueued trials name other, which no trial ever had: left out",
    )


def test_rungs_are_marked_so_that_new_trials_compete(url: str, tmp_path: Path) -> None:
    study = optuna.create_study(storage=_database(tmp_path), study_name=NAME)
    for value in (0.5, 0.25):
        curve = {s: value if s != 3 else math.nan for s in range(1, 9)}
        study.add_trial(
            optuna.trial.create_trial(
                params={"x": value},
                distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
                value=value, intermediate_values=curve,
            )
        )  # fmt: skip
    given = {"pruner": {"name": "asha", "min": 1, "max": 9, "eta": 3}}
    _, trials = take_over(url, f"sqlite:///{tmp_path}/theirs.db", given)
    assert [[(m.rung, m.step, m.value) for m in t.marks] for t in trials] == [
        [(0, 1, 0.5), (1, 4, 0.5)],
        [(0, 1, 0.25), (1, 4, 0.25)],
    ]


def test_what_broke_off_goes_on(url: str, place: str) -> None:
    take_over(url, place, most=0)
    assert held(url)[0].state is StudyState.PAUSED
    take_over(url, place)
    study, trials = held(url)
    assert (study.state, len(trials)) == (StudyState.QUEUED, 10)


_IN_ANOTHER_ZONE = """
import sys, time, warnings
import optuna
from storage import Ledger, queries
from storage.adopting import read
from tests.contract.foreign import NAME, lay_foreign, take_over
from tests.contract.test_adopting import assert_equal

assert time.timezone != 0
place, url = sys.argv[1:]
storage = optuna.storages.RDBStorage(place)
warnings.simplefilter("ignore")
lay_foreign(storage)
_, trials = take_over(url, place)
shown = optuna.load_study(study_name=NAME, storage=url).trials
source = [t for t in read(place, NAME).trials if t.state.is_finished()]
for theirs in source:
    assert_equal(theirs, shown[theirs.number])
    began = trials[theirs.number].started_at
    here = began.astimezone().replace(tzinfo=None)
    assert began.replace(tzinfo=None) != theirs.datetime_start == here
print(len(source))
"""


def test_times_are_right_in_another_zone(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _IN_ANOTHER_ZONE]
        + [f"sqlite:///{tmp_path}/{name}.db" for name in ("theirs", "tuner")],
        env={**os.environ, "TZ": "America/New_York", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "8"), ran.stderr


# What can't be read


def test_a_missing_study_names_those_there(place: str) -> None:
    with pytest.raises(NotFound, match=r"no study 'x' in .*; there are 'both', 'empty', 'theirs'"):
        read(place, "x")


def test_several_objectives_are_refused(place: str) -> None:
    with pytest.raises(InvalidInput, match="study 'both' has 2 objectives"):
        read(place, "both")


def test_no_file_is_made_where_none_was(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", str(tmp_path / "none.log")):
        with pytest.raises(NotFound):
            read(url, NAME)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"hello\n", "holds no study"), (b"", "which holds no study")],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises((InvalidInput, NotFound), match=message):
        read(str(file), NAME)
    assert file.read_bytes() == content


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(InvalidInput, match="not an Optuna database: its tables are missing"):
        read(str(file), NAME)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("nonsense", NotFound, "neither a database's URL nor a file"),
        ("foo://x/y", InvalidInput, "no URL that Optuna opens"),
        ("oracle+nothing://x/y", InvalidInput, "no URL that Optuna opens"),
        ("postgresql://me:secret@127.0.0.1:bad/x", InvalidInput, "URL can't be read"),
        ("post-gres://me:secret@127.0.0.1/x", InvalidInput, "URL can't be read"),
        ("postgresql://me:secret@127.0.0.1:1/x", Unavailable, r"me:\*\*\*@127.0.0.1:1/x does not"),
    ],
)
def test_what_is_no_place_is_said(url: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        read(url, NAME)
    assert "secret" not in str(caught.value)


def test_postgresql_is_read_too(postgres_url: str, tmp_path: Path) -> None:
    storage = RDBStorage(database_url(postgres_url).render_as_string(hide_password=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lay_foreign(storage)
    storage.remove_session()
    storage.engine.dispose()
    _, trials = take_over(f"sqlite:///{tmp_path}/tuner.db", postgres_url)
    assert len(trials) == 10
