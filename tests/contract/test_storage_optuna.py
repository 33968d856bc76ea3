"""What Optuna's own code reads from the ledger's database, and writes beside it."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from storage import Ledger, Memory, Transaction, open_ledger, queries
from storage.engine import database_url
from tests.contract.ledger_history import History, random_params, spec
from tuner.decision import Outcome
from tuner.errors import Conflict, DuplicateName
from tuner.trial import AttemptEnd, Lease, Origin, Report, Trial, TrialState

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
STATES = {
    Outcome.COMPLETE: OptunaState.COMPLETE,
    Outcome.CONVERGED: OptunaState.COMPLETE,
    Outcome.PRUNED: OptunaState.PRUNED,
    Outcome.DIVERGED: OptunaState.PRUNED,
    Outcome.OOM: OptunaState.FAIL,
    Outcome.FAILED: OptunaState.FAIL,
    Outcome.CANCELLED: OptunaState.FAIL,
}
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "batch_size": CategoricalDistribution([16, 32, 64]),
    "layers": IntDistribution(1, 9, step=2),
    "width": IntDistribution(8, 4096, log=True),
    "dropout": FloatDistribution(0.0, 0.7, step=0.1),
    "kind": CategoricalDistribution(["a", True, 2, 0.5, "é"]),
    "momentum": FloatDistribution(0.8, 0.99),
    "fixed": CategoricalDistribution([3]),
}


@contextmanager
def optuna_storage(url: str) -> Iterator[RDBStorage]:
    """Open the database with Optuna's own storage."""
    storage = RDBStorage(database_url(url).render_as_string(hide_password=False))
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def local(at: datetime | None) -> datetime | None:
    """Return a time as Optuna's Python API gives it: naive, in the local zone."""
    return None if at is None else at.astimezone().replace(tzinfo=None)


@pytest.mark.parametrize("seed", range(3))
def test_optuna_reads_what_the_ledger_holds(url: str, seed: int) -> None:
    async def write() -> Memory:
        history = History(seed)
        async with open_ledger(url) as ledger:
            for _ in range(50):
                commands = [history.command() for _ in range(5)]
                done = await asyncio.gather(
                    *(ledger.write(c) for c in commands), return_exceptions=True
                )
                assert all(r is None or isinstance(r, Conflict) for r in done)
            for study in ledger.memory.studies():
                for trial in ledger.memory.trials(study.study_id):
                    newest[trial.trial_id] = {
                        r.step: r.value
                        for r in await queries.trial_reports(ledger, study.study_id, trial.number)
                    }
            return ledger.memory

    newest: dict[int, dict[int, float]] = {}
    memory = asyncio.run(write())
    with optuna_storage(url) as storage:
        for study in memory.studies():
            read = optuna.load_study(study_name=study.name, storage=storage)
            assert (
                read.direction.name
                == {"min": "MINIMIZE", "max": "MAXIMIZE"}[study.spec.objective.mode]
            )
            assert read.user_attrs["tuner:spec"]["objective"]["metric"] == "loss"
            assert read.metric_names == ["loss"]
            ours = memory.trials(study.study_id)
            assert [t.number for t in read.trials] == [t.number for t in ours]
            for mine, theirs in zip(ours, read.trials, strict=True):
                assert_same(mine, theirs, newest[mine.trial_id])


def assert_same(mine: Trial, theirs: FrozenTrial, newest: dict[int, float]) -> None:
    """Compare a trial with Optuna's reading of it. `newest` has the newest value of each step."""
    assert theirs._trial_id == mine.trial_id
    assert theirs.params == dict(mine.params)
    assert [type(v) for v in theirs.params.values()] == [type(v) for v in mine.params.values()]
    assert theirs.distributions == {k: DISTRIBUTIONS[k] for k in mine.params}
    waiting = {TrialState.WAITING: OptunaState.WAITING, TrialState.RUNNING: OptunaState.RUNNING}
    assert theirs.state is (STATES[mine.outcome] if mine.outcome else waiting[mine.state])
    assert {k: repr(v) for k, v in theirs.intermediate_values.items()} == {
        k: repr(v) for k, v in newest.items()
    }
    ended_unstarted = mine.ended_at if mine.started_at is None else None
    assert theirs.datetime_start == local(mine.started_at or ended_unstarted)
    assert theirs.datetime_complete == local(mine.ended_at)
    if mine.outcome in (Outcome.COMPLETE, Outcome.CONVERGED):
        assert theirs.value == mine.value
    elif mine.outcome is Outcome.PRUNED:
        finite = [r.value for r in mine.reports if math.isfinite(r.value)]
        assert theirs.value == (finite[-1] if finite else None)
    else:
        assert theirs.values is None
    assert theirs.user_attrs["tuner:origin"] == mine.origin.value
    assert theirs.user_attrs["tuner:seed"] == mine.seed
    assert theirs.user_attrs.get("tuner:outcome") == mine.outcome


def _life(tx: Transaction) -> Trial:
    """Run a trial's first attempt up to step 3, lose it, and put it back into the queue."""
    study = tx.new_study("s", spec(), "me", NOW)
    params = random_params(History(1).rng, study)
    trial = tx.new_trial(study.study_id, params, Origin.FOLK, 1, NOW, "by the book")
    lease = Lease(token="token-1", study_id=1, number=0, attempt=1, worker_id=None)
    tx.open_attempt(trial, lease, NOW)
    reports = tuple(Report(s, v, 1.0) for s, v in ((1, 0.5), (2, math.inf), (3, math.nan)))
    trial = trial.evolve(
        state=TrialState.RUNNING, attempt=1, lease=lease, started_at=NOW, reports=reports
    )
    tx.put_trial(trial)
    for report in reports:
        tx.add_report(trial, 1, report, {"acc": 0.9}, NOW)
    tx.close_attempt(trial, AttemptEnd.LOST, NOW)
    trial = trial.evolve(state=TrialState.WAITING, lease=None, reports=())
    tx.put_trial(trial)
    return trial


def test_a_requeued_trial_waits_and_keeps_its_curve(url: str) -> None:
    async def run() -> None:
        async with open_ledger(url) as ledger:
            await ledger.write(_life)
            assert await queries.report_metrics(ledger, 1, 0, 1) == {}
            reports = await queries.trial_reports(ledger, 1, 0)
            assert [(r.attempt, r.step, r.lineage) for r in reports] == [
                (1, 1, False), (1, 2, False), (1, 3, False),
            ]  # fmt: skip
            assert [a.end for a in await queries.trial_attempts(ledger, 1, 0)] == [AttemptEnd.LOST]

    asyncio.run(run())
    with optuna_storage(url) as storage:
        (trial,) = optuna.load_study(study_name="s", storage=storage).trials
    assert trial.state is OptunaState.WAITING
    assert repr(trial.intermediate_values) == "{1: 0.5, 2: inf, 3: nan}"
    assert trial.datetime_start == local(NOW)
    assert trial.user_attrs["tuner:note"] == "by the book"


def test_the_newest_attempts_value_of_a_step_stands(url: str) -> None:
    def both_attempts(tx: Transaction) -> None:
        trial = _life(tx)
        lease = Lease(token="token-2", study_id=1, number=0, attempt=2, worker_id=None)
        tx.open_attempt(trial, lease, NOW)
        report = Report(1, 0.25, 1.0)
        tx.add_report(trial, 2, report, {"acc": 0.8}, NOW)
        state = TrialState.RUNNING
        tx.put_trial(trial.evolve(state=state, attempt=2, lease=lease, reports=(report,)))

    async def run() -> None:
        async with open_ledger(url) as ledger:
            await ledger.write(both_attempts)
            reports = await queries.trial_reports(ledger, 1, 0)
            assert [(r.attempt, r.step) for r in reports if r.lineage] == [(2, 1)]
            assert await queries.report_metrics(ledger, 1, 0, 1) == {"acc": 0.8}

    asyncio.run(run())
    with optuna_storage(url) as storage:
        (trial,) = optuna.load_study(study_name="s", storage=storage).trials
    assert trial.intermediate_values[1] == 0.25


def test_optuna_creates_studies_and_trials_beside_ours(url: str) -> None:
    async def run() -> None:
        async with open_ledger(url) as ledger:
            with optuna_storage(url) as storage:
                await ledger.write(_life)
                foreign = optuna.create_study(study_name="theirs", storage=storage)
                for _ in range(3):
                    foreign.tell(foreign.ask(), 1.0)
                trials = await asyncio.gather(*(ledger.write(_another) for _ in range(3)))
                assert [t.number for t in trials] == [1, 2, 3]
                with pytest.raises(DuplicateName):
                    await ledger.write(lambda tx: tx.new_study("theirs", spec(), "me", NOW))
                assert (await ledger.write(_second_study)) == 3
                for _ in range(3):
                    foreign.tell(foreign.ask(), 1.0)
                await ledger.write(_another)
                assert len(foreign.trials) == 6
                assert len(optuna.load_study(study_name="s", storage=storage).trials) == 5

    def _another(tx: Transaction) -> Trial:
        return tx.new_trial(1, tx.trial(1, 0).params, Origin.SAMPLED, 1, NOW)

    def _second_study(tx: Transaction) -> int:
        return tx.new_study("ours", spec(), "me", NOW).study_id

    asyncio.run(run())


_IN_ANOTHER_ZONE = """
import asyncio, sys, time
from datetime import UTC, datetime
import optuna
from storage import open_ledger
from tests.contract.test_storage_optuna import NOW, _life, local

url = sys.argv[1]

async def write():
    async with open_ledger(url) as ledger:
        await ledger.write(_life)

async def read():
    async with open_ledger(url) as ledger:
        return ledger.memory.trial(1, 0)

assert time.timezone != 0
asyncio.run(write())
assert asyncio.run(read()).started_at == NOW
storage = optuna.storages.RDBStorage(url)
(trial,) = optuna.load_study(study_name="s", storage=storage).trials
assert trial.datetime_start == local(NOW) != NOW.replace(tzinfo=None), trial.datetime_start
print(trial.datetime_start.isoformat())
"""


def test_times_are_right_in_another_zone(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _IN_ANOTHER_ZONE, f"sqlite:///{tmp_path}/tuner.db"],
        env={**os.environ, "TZ": "America/New_York", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "2026-03-01T07:30:15.123456"


def test_ledger_reads_back_a_study_by_name(url: str) -> None:
    async def run() -> Any:
        async with open_ledger(url) as ledger:
            study: Ledger = ledger
            await study.write(_life)
        async with open_ledger(url) as ledger:
            return ledger.memory.study_named("s")

    assert asyncio.run(run()).spec == spec()
