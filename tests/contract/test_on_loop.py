"""Small commits to PostgreSQL wait on the event loop, and are worth what others are."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from operator import methodcaller

import pytest
from sqlalchemy import Connection, text

from storage import Ledger, Transaction
from storage.changes import Changes
from storage.open import run_ledger
from storage.sql_store import MOST_ON_LOOP, SqlStore
from tests.contract.ledger_database import (
    NOW,
    count,
    execute,
    loaded,
    new_study,
    new_trial,
    sql,
    with_ledger,
)
from tests.contract.ledger_history import canonical, spec
from tuner.trial import StudyState

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tuner'"
    " AND wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.fixture
def in_thread(monkeypatch: pytest.MonkeyPatch) -> list[Changes]:
    """Give the change sets that a thread committed."""
    found: list[Changes] = []
    commit = SqlStore.commit

    def noted(store: SqlStore, changes: Changes) -> None:
        found.append(changes)
        commit(store, changes)

    monkeypatch.setattr(SqlStore, "commit", noted)
    return found


async def until_it_waits(watch: Connection) -> None:
    """Return when a commit waits for a lock in the database."""
    while not watch.execute(_WAITING).scalar():
        watch.rollback()
        await asyncio.sleep(0.01)
    watch.rollback()


def test_the_loop_goes_on_while_the_database_takes_its_time(
    postgres_url: str, in_thread: list[Changes]
) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        with sql(postgres_url) as engine, engine.connect() as other, engine.connect() as watch:
            other.execute(text("SELECT * FROM tuner_owner FOR UPDATE"))
            writing = asyncio.create_task(ledger.write(new_trial))
            await until_it_waits(watch)
            assert not writing.done()
            assert ledger.memory.trials(1) == ()
            other.rollback()
            assert await writing == 0

    with_ledger(postgres_url, body)
    assert len(in_thread) == 1
    assert count(postgres_url, "tuner_trials") == 1


def test_what_would_hold_the_loop_up_is_left_to_the_thread(
    postgres_url: str, in_thread: list[Changes]
) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        await ledger.write(lambda tx: [new_trial(tx) for _ in range(MOST_ON_LOOP)])
        assert len(in_thread) == 1
        await ledger.write(lambda tx: [new_trial(tx) for _ in range(MOST_ON_LOOP + 1)])
        assert len(in_thread) == 2

    with_ledger(postgres_url, body)
    assert count(postgres_url, "tuner_trials") == 2 * MOST_ON_LOOP + 1


def _a_study_that_is_over(tx: Transaction) -> None:
    study = tx.new_study("dropped", spec(), "me", NOW)
    tx.put_study(study.evolve(state=StudyState.FINISHED, ended_at=NOW))


def test_rows_are_deleted_with_the_rest(postgres_url: str, in_thread: list[Changes]) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        for key, at in (("old", NOW), ("new", NOW + timedelta(days=2))):
            await ledger.write(methodcaller("put_reply", key, "digest", 200, b"{}", at))
        assert ledger.memory.reply("old") is None

    with_ledger(postgres_url, body)
    assert len(in_thread) == 1
    assert count(postgres_url, "tuner_replies") == 1


def test_statements_that_want_an_answer_are_left_to_the_thread(
    postgres_url: str, in_thread: list[Changes]
) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        await ledger.write(_a_study_that_is_over)
        assert len(in_thread) == 1
        await ledger.write(lambda tx: (new_trial(tx), tx.drop_study(2)))
        assert len(in_thread) == 2
        await ledger.write(new_trial)
        assert len(in_thread) == 2

    with_ledger(postgres_url, body)
    assert (count(postgres_url, "tuner_studies"), count(postgres_url, "tuner_trials")) == (1, 2)


def test_a_refused_row_fails_alone(postgres_url: str, in_thread: list[Changes]) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        names = ("a", "nul\0", "b")
        writes = (ledger.write(partial(new_study, name=name)) for name in names)
        told = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(x).__name__ for x in told] == ["int", "RowRefused", "int"]

    with_ledger(postgres_url, body)
    assert count(postgres_url, "studies") == 3


def test_a_commit_that_is_abandoned_leaves_the_store_usable(postgres_url: str) -> None:
    """As when the loop ends amid it: it is stored whole or not at all, and no one was told."""
    changes: list[Changes] = []

    class Noting(SqlStore):
        async def try_commit(self, found: Changes) -> bool:
            changes.append(found)
            return await super().try_commit(found)

    async def run() -> None:
        stores: list[Noting] = []

        def make() -> Noting:
            stores.append(Noting(postgres_url))
            return stores[0]

        async with run_ledger(make) as ledger:
            await ledger.write(new_study)
            with sql(postgres_url) as engine, engine.connect() as other, engine.connect() as watch:
                other.execute(text("SELECT * FROM tuner_owner FOR UPDATE"))
                writing = asyncio.create_task(stores[0].try_commit(changes[0]))
                await until_it_waits(watch)
                writing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await writing
                other.rollback()
            await ledger.write(new_trial)
            assert (await ledger.read(lambda c: c.execute(text("SELECT 1")).scalar())) == 1
            kept.append(canonical(ledger.memory))

    kept: list[str] = []
    asyncio.run(run())
    assert loaded(postgres_url) == kept[0]


def test_a_database_that_restarts_is_found_again(
    postgres_url: str, in_thread: list[Changes]
) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        execute(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tuner' AND datname = current_database()",
        )
        told = await asyncio.gather(ledger.write(new_trial), return_exceptions=True)
        assert [type(x).__name__ for x in told] == ["OutcomeUnknown"]
        assert await ledger.write(new_trial) == 0
        assert await ledger.write(new_trial) == 1

    with_ledger(postgres_url, body)
    assert len(in_thread) == 2
    assert count(postgres_url, "tuner_trials") == 2
