"""Small commits to PostgreSQL wait on the event loop, and are worth what others are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from operator import methodcaller
from typing import Any

import pytest
import uvloop
from sqlalchemy import Connection, text

from storage import Ledger, Transaction, on_loop, open_ledger
from storage.batch import Wait
from storage.changes import Changes
from storage.open import run_ledger
from storage.sql_store import SqlStore
from storage.write import write
from tests.contract.ledger_database import (
    NOW,
    Body,
    count,
    end_connections,
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


async def on_a_ledger(url: str, body: Body) -> None:
    async with open_ledger(url) as ledger:
        await body(ledger)


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
        await ledger.write(lambda tx: [new_trial(tx) for _ in range(on_loop.MOST_VALUES)])
        assert len(in_thread) == 1
        await ledger.write(lambda tx: [new_trial(tx) for _ in range(on_loop.MOST_VALUES + 1)])
        assert len(in_thread) == 2

    with_ledger(postgres_url, body)
    assert count(postgres_url, "tuner_trials") == 2 * on_loop.MOST_VALUES + 1


def test_a_message_that_does_not_fit_the_socket_is_sent_piece_by_piece(
    postgres_url: str, in_thread: list[Changes], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Wait] = []
    ready = on_loop._ready

    async def noted(wait: Wait) -> None:
        waits.append(wait)
        await ready(wait)

    monkeypatch.setattr(on_loop, "_ready", noted)

    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        await ledger.write(methodcaller("put_reply", "k", "d", 200, b"x" * 20_000_000, NOW))

    with_ledger(postgres_url, body)
    assert len(in_thread) == 1
    assert any(wait.sending for wait in waits)
    assert count(postgres_url, "tuner_replies WHERE length(body) = 20000000") == 1


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


def test_what_is_unusual_is_left_to_the_thread(postgres_url: str, in_thread: list[Changes]) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        await ledger.write(_a_study_that_is_over)
        assert len(in_thread) == 2
        await ledger.write(lambda tx: (new_trial(tx), tx.drop_study(2)))
        assert len(in_thread) == 3
        await ledger.write(new_trial)
        assert len(in_thread) == 3

    with_ledger(postgres_url, body)
    assert (count(postgres_url, "tuner_studies"), count(postgres_url, "tuner_trials")) == (1, 2)


def test_a_statement_that_wants_an_answer_is_left_to_the_thread(
    postgres_url: str, in_thread: list[Changes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asking(connection: Connection, changes: Changes) -> None:
        connection.execute(text("SELECT 1"))
        write(connection, changes)

    monkeypatch.setattr("storage.sql_store.write", asking)

    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        for number in range(3):
            assert await ledger.write(new_trial) == number

    with_ledger(postgres_url, body)
    assert len(in_thread) == 4
    assert count(postgres_url, "tuner_trials") == 3


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
            await ledger.write(lambda tx: tx.put_reply("k", "d", 200, b"{}", NOW))
            with sql(postgres_url) as engine, engine.connect() as other, engine.connect() as watch:
                other.execute(text("SELECT * FROM tuner_owner FOR UPDATE"))
                writing = asyncio.create_task(stores[0].try_commit(changes[1]))
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


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_database_that_restarts_is_found_again(
    postgres_url: str, in_thread: list[Changes], run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        end_connections(postgres_url)
        told = await asyncio.gather(ledger.write(new_trial), return_exceptions=True)
        assert [type(x).__name__ for x in told] == ["OutcomeUnknown"]
        assert await ledger.write(new_trial) == 0
        assert await ledger.write(new_trial) == 1

    run(on_a_ledger(postgres_url, body))
    assert len(in_thread) == 1
    assert count(postgres_url, "tuner_trials") == 2
