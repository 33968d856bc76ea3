"""Numbers of events never come back, although the newest ones are deleted with their study."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection

from storage import Ledger, Transaction, prune, queries
from storage.backup import backup, restore
from tests.contract.ledger_database import NOW, count, execute, new_study, sql, with_ledger
from tests.contract.sample import lay_sample
from tuner.trial import Event, EventKind, StudyState


@pytest.fixture
def sample(url: str, tmp_path: Path) -> int:
    """Lay a database whose study 2, which is over, has the newest event; return its number."""
    lay_sample(url, tmp_path / "artifacts")
    with_ledger(url, lambda ledger: ledger.write(lambda tx: _tell(tx, 2)))
    return newest(url)


def newest(url: str) -> int:
    with sql(url) as engine, engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT max(seq) FROM tuner_events").scalar_one())


def _tell(tx: Transaction, study_id: int) -> None:
    tx.add_event(Event(study_id=study_id, kind=EventKind.CHANGED, at=NOW))


async def drop(ledger: Ledger) -> None:
    """Drop study 2, and wait until its rows are gone."""
    await ledger.write(lambda tx: tx.drop_study(2))
    deadline = time.monotonic() + 60
    while await ledger.read(_left):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def _left(connection: Connection) -> int:
    query = "SELECT count(*) FROM studies WHERE study_id = 2"
    return int(connection.exec_driver_sql(query).scalar_one())


async def told(ledger: Ledger, after: int) -> list[int]:
    """Tell of study 1; return the numbers that a reader gets who asks for what came since."""
    await ledger.write(lambda tx: _tell(tx, 1))
    upto = ledger.memory.tables.counters.seq - 1
    found = await queries.events_from(ledger, after + 1, upto)
    return [e.seq or 0 for e in found]


def test_none_comes_back_after_a_restart(url: str, sample: int) -> None:
    async def goes_on(ledger: Ledger) -> None:
        assert await told(ledger, sample) == [sample + 1]

    with_ledger(url, drop)
    assert newest(url) < sample
    with_ledger(url, goes_on)


def test_nor_after_a_deletion_that_a_kill_cut_in_two(
    url: str, sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece that is deleted leaves the number noted."""
    monkeypatch.setattr(prune, "MOST_TRIALS", 1)
    real = prune.purge_some

    def one_piece(connection: Connection) -> bool:
        real(connection)
        return False

    async def cut(ledger: Ledger) -> None:
        await ledger.write(lambda tx: tx.drop_study(2))

    async def goes_on(ledger: Ledger) -> None:
        assert await told(ledger, sample) == [sample + 1]

    with monkeypatch.context() as patch:
        patch.setattr("storage.sql_store.purge_some", one_piece)
        with_ledger(url, cut)
    with_ledger(url, goes_on)


def test_nor_after_a_second_deletion(url: str, sample: int) -> None:
    """What is noted is never lowered."""

    async def again(ledger: Ledger) -> None:
        await ledger.write(_another_and_over)
        await ledger.write(lambda tx: tx.drop_study(_of(tx, "another")))
        while await ledger.read(_dropped):
            await asyncio.sleep(0.01)

    async def goes_on(ledger: Ledger) -> None:
        assert await told(ledger, sample) == [sample + 1]

    with_ledger(url, drop)
    with_ledger(url, again)
    with_ledger(url, goes_on)


def _another_and_over(tx: Transaction) -> None:
    study = tx.study(new_study(tx, "another"))
    tx.put_study(study.evolve(state=StudyState.CANCELLED, ended_at=NOW))


def _of(tx: Transaction, name: str) -> int:
    return tx.study_named(name).study_id


def _dropped(connection: Connection) -> int:
    query = "SELECT count(*) FROM tuner_studies WHERE state = 'deleted'"
    return int(connection.exec_driver_sql(query).scalar_one())


def test_nor_when_another_program_takes_ids(url: str, sample: int) -> None:
    """The next ids are read again then."""

    async def body(ledger: Ledger) -> None:
        await drop(ledger)
        taken = ledger.memory.tables.counters.study_id
        execute(url, f"INSERT INTO studies (study_id, study_name) VALUES ({taken}, 'foreign')")
        assert await ledger.write(new_study_named) == taken + 1
        assert await told(ledger, sample) == [sample + 1]

    with_ledger(url, body)


def new_study_named(tx: Transaction) -> int:
    return new_study(tx, "ours")


def test_nor_after_a_restore_of_a_state_without_studies(
    url: str, other: str, sample: int, tmp_path: Path
) -> None:
    with_ledger(other, lambda ledger: ledger.write(lambda tx: None))
    backup(other, tmp_path / "empty")
    with_ledger(url, drop)
    restore(url, tmp_path / "empty", force=True)
    assert count(url, "tuner_events") == 0

    async def goes_on(ledger: Ledger) -> None:
        await ledger.write(new_study)
        assert (await told(ledger, sample))[-1] > sample

    with_ledger(url, goes_on)
