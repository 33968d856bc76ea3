"""The service's own studies as Optuna sees them, and what it may do to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState as OptunaState

from storage import Ledger, Transaction, open_ledger, open_storage
from storage.open import run_ledger
from storage.sql_store import SqlStore
from tests.contract.ledger_database import new_study, new_trial
from tests.contract.ledger_history import History
from tests.contract.optuna_studies import seen, told_of
from tests.contract.test_storage_optuna import NOW, _life, optuna_storage
from tuner.errors import Conflict, DuplicateName, Unavailable
from tuner.trial import AttemptEnd, Lease, Report, TrialState


@pytest.mark.parametrize("seed", range(3))
def test_the_services_changes_show_as_optuna_reads_them(url: str, seed: int) -> None:
    history = History(seed)
    _write_and_compare(url, [[history.command() for _ in range(5)] for _ in range(40)])


def test_attempts_of_one_batch_show_as_optuna_reads_them(url: str) -> None:
    def two_attempts(tx: Transaction) -> None:
        trial = _life(tx)
        lease = Lease(token="token-2", study_id=1, number=0, attempt=2, worker_id=None)
        tx.open_attempt(trial, lease, NOW)
        tx.add_report(trial, 2, Report(1, 0.25, 1.0), {}, NOW)
        tx.put_trial(trial.evolve(state=TrialState.RUNNING, attempt=2, lease=lease))

    def back_to_the_queue(tx: Transaction) -> None:
        trial = tx.trial(1, 0)
        tx.close_attempt(trial, AttemptEnd.LOST, NOW)
        tx.put_trial(trial.evolve(state=TrialState.WAITING, lease=None, started_at=None))

    _write_and_compare(url, [[two_attempts], [back_to_the_queue]])


def _write_and_compare(url: str, batches: list[list[Callable[[Transaction], None]]]) -> None:
    async def run() -> None:
        async with run_ledger(lambda: SqlStore(url, optuna=True)) as ledger:
            for batch in batches:
                calls = (ledger.write(command) for command in batch)
                done = await asyncio.gather(*calls, return_exceptions=True)
                assert all(r is None or isinstance(r, Conflict) for r in done)
            told.extend(_views(ledger))

    told: list[Any] = []
    asyncio.run(run())
    assert any(trials for _, trials in told)
    with optuna_storage(url) as plain:
        assert _plain_views(plain) == told
    storage = open_storage(url)
    assert _plain_views(storage) == told
    storage.close()


def _views(ledger: Ledger) -> list[Any]:
    tables = ledger.memory.tables.optuna
    assert tables is not None
    return [
        (vars(s.view()), [told_of(t.view()) for t in tables.study_trials(s.study_id)])
        for s in tables.all_studies()
    ]


def _plain_views(storage: BaseStorage) -> list[Any]:
    return [
        (vars(s), [told_of(t) for t in storage.get_all_trials(s._study_id)])
        for s in storage.get_all_studies()
    ]


def _make_ours(url: str) -> None:
    def command(tx: Transaction) -> None:
        new_study(tx)
        new_trial(tx)

    async def run() -> None:
        async with open_ledger(url) as ledger:
            await ledger.write(command)

    asyncio.run(run())


def test_the_services_study_takes_attributes_and_no_more(url: str) -> None:
    _make_ours(url)
    storage = open_storage(url)
    study = optuna.load_study(study_name="s", storage=storage)
    study_id, trial_id = study._study_id, study.trials[0]._trial_id
    study.set_user_attr("note", "good")
    storage.set_trial_user_attr(trial_id, "note", [1])
    storage.set_trial_system_attr(trial_id, "note", [2])
    told = seen(storage)
    for refused in (
        study.ask,
        lambda: study.enqueue_trial({}),
        lambda: storage.delete_study(study_id),
        lambda: storage.set_trial_state_values(trial_id, OptunaState.RUNNING),
        lambda: storage.set_trial_intermediate_value(trial_id, 1, 1.0),
        lambda: study.set_user_attr("tuner:spec", {}),
        lambda: storage.set_trial_user_attr(trial_id, "tuner:note", ""),
    ):
        with pytest.raises(Conflict):
            refused()
    assert seen(storage) == told
    storage.close()
    with optuna_storage(url) as plain:
        assert seen(plain) == told
        assert optuna.load_study(study_name="s", storage=plain).user_attrs["note"] == "good"


def test_one_name_goes_to_one_study_of_a_batch(url: str) -> None:
    def replace(tx: Transaction) -> int:
        tx.optuna.delete_study(1)
        return new_study(tx, "a")

    async def run() -> None:
        async with run_ledger(lambda: SqlStore(url, optuna=True)) as ledger:
            done = await asyncio.gather(
                ledger.write(lambda tx: tx.optuna.new_study("a", []).study_id),
                ledger.write(lambda tx: new_study(tx, "a")),
                ledger.write(lambda tx: new_study(tx, "b")),
                ledger.write(lambda tx: tx.optuna.new_study("b", []).study_id),
                return_exceptions=True,
            )
            assert [type(d) for d in done] == [int, DuplicateName, int, DuplicateName]
            assert await ledger.write(replace) == 3

    asyncio.run(run())


def test_a_server_does_not_hold_the_studies_of_plain_optuna(url: str) -> None:
    async def run() -> None:
        async with open_ledger(url) as ledger:
            with pytest.raises(Unavailable):
                await ledger.write(lambda tx: tx.optuna.study(1))

    asyncio.run(run())
