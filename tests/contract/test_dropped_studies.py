"""Studies that are dropped: out of sight with the commit, gone from every table soon after."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from sqlalchemy import Connection, inspect, text

from storage import Ledger, Transaction, open_ledger, prune
from storage.check import check
from tests.contract.ledger_database import NOW, count, loaded, new_study, sql, with_ledger
from tests.contract.ledger_history import canonical
from tests.contract.sample import lay_sample
from tuner.errors import Conflict, NotFound, StudyState
from tuner.trial import Event, EventKind, Report

pytestmark = pytest.mark.usefixtures("sample")


@pytest.fixture
def sample(url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lay a database whose study 2, "over", has ended."""
    lay_sample(url, tmp_path_factory.mktemp("artifacts"))


def drop(tx: Transaction) -> None:
    tx.drop_study(2)


async def gone(url: str) -> None:
    """Wait until no row of study 2 is left."""
    deadline = time.monotonic() + 60
    while rows_of_study_2(url):
        assert time.monotonic() < deadline, rows_of_study_2(url)
        await asyncio.sleep(0.02)


def rows_of_study_2(url: str) -> dict[str, int]:
    """Count what refers to the study, or to a trial that is not there any more, by table."""
    found: dict[str, int] = {}
    with sql(url) as engine, engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            columns = {c["name"] for c in inspect(connection).get_columns(table)}
            if "study_id" in columns:
                where = "study_id = 2"
            elif "trial_id" in columns:
                where = "trial_id NOT IN (SELECT trial_id FROM trials WHERE study_id <> 2)"
            else:
                continue
            query = text(f"SELECT count(*) FROM {table} WHERE {where}")
            if rows := connection.execute(query).scalar_one():
                found[table] = rows
    return found


def test_it_is_out_of_sight_at_once_and_gone_soon(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        assert "tuner_reports" in rows_of_study_2(url)
        before = count(url, "tuner_reports")
        await ledger.write(drop)
        with pytest.raises(NotFound):
            ledger.memory.study(2)
        with pytest.raises(NotFound):
            ledger.memory.study_named("over")
        await gone(url)
        assert count(url, "tuner_reports") == before - 1
        live.append(canonical(ledger.memory))

    live: list[str] = []
    with_ledger(url, body)
    assert check(url) == []
    assert _without_counters(loaded(url)) == _without_counters(live[0])


def _without_counters(memory: str) -> list[str]:
    """The next ids may be read lower than they were counted: what was the highest is gone."""
    return [x for x in memory.splitlines() if "/counters/" not in x or "/counters/seq" in x]


def test_its_name_is_free_in_the_same_batch(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        _, study_id = await asyncio.gather(
            ledger.write(drop), ledger.write(partial(new_study, name="over"))
        )
        assert ledger.memory.study_named("over").study_id == study_id == 3
        await gone(url)

    with_ledger(url, body)
    assert check(url) == []


def test_what_the_same_batch_wrote_to_it_goes_too(url: str) -> None:
    def touch(tx: Transaction) -> None:
        trial = tx.trial(2, 0)
        tx.add_report(trial, trial.attempt, Report(5, 0.5, 1.0), {}, NOW)
        tx.put_study(tx.study(2).evolve(created_by="x"))
        tx.add_event(Event(study_id=2, kind=EventKind.CHANGED, at=NOW, number=0))
        tx.put_attribute(2, "key", 1)
        tx.new_trial(2, trial.params, trial.origin, 1, NOW)

    def write_and_drop(tx: Transaction) -> None:
        touch(tx)
        drop(tx)

    async def body(ledger: Ledger) -> None:
        await ledger.write(write_and_drop)
        await gone(url)

    with_ledger(url, body)
    assert check(url) == []


def test_a_command_that_fails_drops_nothing(url: str) -> None:
    def drop_and_fail(tx: Transaction) -> None:
        drop(tx)
        assert [s.study_id for s in tx.studies()] == [1]
        with pytest.raises(NotFound):
            tx.trial(2, 0)
        raise Conflict("no")

    async def body(ledger: Ledger) -> None:
        with pytest.raises(Conflict):
            await ledger.write(drop_and_fail)
        assert ledger.memory.trial(2, 0).value is not None

    with_ledger(url, body)
    assert "tuner_trials" in rows_of_study_2(url)


def test_a_live_study_is_not_dropped(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        with pytest.raises(StudyState, match="cancel it first"):
            await ledger.write(lambda tx: tx.drop_study(1))
        with pytest.raises(NotFound):
            await ledger.write(lambda tx: tx.drop_study(9))

    with_ledger(url, body)


def test_what_an_end_left_over_goes_at_the_next_start(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check does not mind half a study that is under way out."""
    monkeypatch.setattr(prune, "MOST_TRIALS", 1)
    real = prune.purge_some

    def first_piece(connection: Connection) -> bool:
        real(connection)
        return False

    async def killed() -> None:
        async with open_ledger(url) as ledger:
            await ledger.write(drop)

    with monkeypatch.context() as patch:
        patch.setattr("storage.sql_store.purge_some", first_piece)
        asyncio.run(killed())
    assert rows_of_study_2(url)
    assert check(url) == []
    loaded(url)
    assert rows_of_study_2(url) == {}


def test_commits_go_on_between_the_pieces(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is bounded, and none of 300 trials waits for the last one."""
    monkeypatch.setattr(prune, "MOST_ROWS", 10)
    pieces: list[int] = []
    real = prune.purge_some

    def counted(connection: object) -> bool:
        pieces.append(1)
        return real(connection)  # type: ignore[arg-type]

    monkeypatch.setattr("storage.sql_store.purge_some", counted)

    def grow(tx: Transaction) -> None:
        params = tx.trial(2, 0).params
        for _ in range(300):
            trial = tx.new_trial(2, params, tx.trial(2, 0).origin, 1, NOW)
            for step in (1, 2):
                tx.add_report(trial, 0, Report(step, 0.5, 1.0), {}, NOW)

    async def body(ledger: Ledger) -> None:
        await ledger.write(grow)
        await ledger.write(drop)
        between = 0
        while rows_of_study_2(url):
            await ledger.write(_event)
            between += 1
        assert len(pieces) > 60
        assert between > 10

    with_ledger(url, body)


def _event(tx: Transaction) -> None:
    tx.add_event(Event(study_id=1, kind=EventKind.CHANGED, at=NOW))
