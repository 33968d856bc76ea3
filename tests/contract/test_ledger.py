"""What the ledger promises, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from storage import Committed, Ledger, Transaction, queries
from storage.engine import database_url
from storage.open import run_ledger
from storage.sql_store import SqlStore
from tests.contract.ledger_database import (
    NOW,
    count,
    execute,
    loaded,
    new_study,
    new_trial,
    with_ledger,
)
from tests.contract.ledger_history import History, canonical
from tuner.errors import (
    Conflict,
    InvalidInput,
    StorageFull,
    Unavailable,
)
from tuner.trial import Event, EventKind


@pytest.mark.parametrize("seed", range(6))
def test_a_loaded_memory_equals_the_live_one(url: str, seed: int) -> None:
    history = History(seed)
    live: list[str] = []

    async def body(ledger: Ledger) -> None:
        for _ in range(40):
            commands = [history.command() for _ in range(history.rng.randrange(1, 8))]
            results = await asyncio.gather(
                *(ledger.write(c) for c in commands), return_exceptions=True
            )
            assert all(r is None or isinstance(r, Conflict) for r in results), results
        live.append(canonical(ledger.memory))

    for _ in range(2):
        with_ledger(url, body)
        assert loaded(url) == live.pop()


def test_concurrent_writes_share_a_transaction(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        commits: list[object] = []

        def counted(connection: object) -> None:
            commits.append(connection)

        event.listen(Engine, "commit", counted)
        try:
            numbers = await asyncio.gather(*(ledger.write(new_trial) for _ in range(100)))
        finally:
            event.remove(Engine, "commit", counted)
        assert sorted(numbers) == list(range(100))
        assert 1 <= len(commits) <= 4

    with_ledger(url, body)
    assert count(url, "tuner_trials") == count(url, "trials") == 100


def test_memory_that_may_be_behind_is_read_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is not decided anew, whatever went wrong between its commit and memory."""

    def fails(*_: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        monkeypatch.setattr("storage.ledger.apply", fails)
        with pytest.raises(Unavailable):
            await ledger.write(new_trial)
        assert await ledger.write(new_trial) == 1
        assert [trial.number for trial in ledger.memory.trials(1)] == [0, 1]

    with_ledger(url, body)


def test_a_single_write_is_in_the_database_when_it_returns(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        for i in range(3):
            await ledger.write(partial(new_study, name=f"s{i}"))
            assert count(url, "studies") == count(url, "tuner_studies") == i + 1

    with_ledger(url, body)


def test_only_the_command_whose_row_is_refused_fails(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        names = ["a", "b", "c", "d", "e"]
        bad = "\ud800"
        results = await asyncio.gather(
            *(
                ledger.write(partial(new_study, name=n, by=bad if n == "c" else "me"))
                for n in names
            ),
            return_exceptions=True,
        )
        assert isinstance(results[2], InvalidInput)
        assert [r for r in results if isinstance(r, int)] == [1, 2, 3, 4]
        assert [s.name for s in ledger.memory.studies()] == ["a", "b", "d", "e"]

    with_ledger(url, body)
    assert count(url, "tuner_studies") == count(url, "studies") == 4


def test_a_failed_commit_leaves_nothing_and_the_next_works(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        before = canonical(ledger.memory)
        execute(url, "ALTER TABLE tuner_events RENAME TO away")

        def command(tx: Transaction) -> None:
            new_trial(tx)
            tx.add_event(Event(study_id=1, kind=EventKind.ENQUEUED, at=NOW))

        with pytest.raises(Unavailable) as caught:
            await ledger.write(command)
        assert caught.value.extra["retry_after"] > 0
        assert canonical(ledger.memory) == before
        assert count(url, "trials") == 0
        execute(url, "ALTER TABLE away RENAME TO tuner_events")
        await ledger.write(command)

    with_ledger(url, body)
    assert count(url, "trials") == 1


def test_events_are_numbered_in_order_and_read_by_page(url: str) -> None:
    news: list[Committed] = []

    async def body(ledger: Ledger) -> None:
        ledger.subscribe(news.append)
        await ledger.write(new_study)
        kinds = [EventKind.SUBMITTED, EventKind.STARTED, EventKind.PAUSED, EventKind.RESUMED]

        def add(tx: Transaction, kind: EventKind) -> None:
            data = {"x": 1.5, "none": None, "bad": float("nan")}
            tx.add_event(
                Event(study_id=1, kind=kind, at=NOW, number=int(kind == "paused"), data=data)
            )

        await asyncio.gather(*(ledger.write(partial(add, kind=k)) for k in kinds))
        first = await queries.study_events(ledger, 1, after=0, limit=3)
        rest = await queries.study_events(ledger, 1, after=first[-1].seq or 0, limit=3)
        assert [e.kind for e in first + rest] == kinds
        assert [e.seq for e in first + rest] == [1, 2, 3, 4]
        assert first[0].data == {"x": 1.5, "none": None, "bad": "nan"}
        assert [e.kind for e in await queries.trial_events(ledger, 1, 1)] == [EventKind.PAUSED]

    with_ledger(url, body)
    assert [e.seq for n in news for e in n.events] == [1, 2, 3, 4]


class _OpenStore(SqlStore):
    """A store that shows how its writing connection is set up."""

    def setting(self, statement: str) -> object:
        """Return what the database says to `statement`."""
        with self._writer.connect() as connection:
            return connection.exec_driver_sql(statement).scalar_one()


def test_sqlite_writes_durably(tmp_path: Path) -> None:
    store = _OpenStore(f"sqlite:///{tmp_path}/tuner.db")
    assert store.setting("PRAGMA journal_mode") == "wal"
    assert store.setting("PRAGMA synchronous") == 2
    assert store.setting("PRAGMA foreign_keys") == 1
    store.close()


def test_postgresql_writes_durably_whatever_the_database_prefers(postgres_url: str) -> None:
    name = database_url(postgres_url).database
    execute(postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = _OpenStore(postgres_url)
    assert store.setting("SHOW synchronous_commit") == "on"
    store.close()


class _SmallStore(SqlStore):
    """An SQLite store whose file may hardly grow."""

    def limit(self, pages: int) -> None:
        """Let the file grow by some pages only."""
        with self._writer.connect() as connection:
            now = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={now + pages}")


def test_a_full_disk_says_so_and_recovers(tmp_path: Path) -> None:
    stores: list[_SmallStore] = []

    def make() -> _SmallStore:
        stores.append(_SmallStore(f"sqlite:///{tmp_path}/tuner.db"))
        return stores[0]

    async def run() -> None:
        async with run_ledger(make) as ledger:
            await ledger.write(new_study)
            stores[0].limit(1)
            with pytest.raises(StorageFull):
                await ledger.write(lambda tx: new_study(tx, "large", "x" * 100_000))
            assert len(ledger.memory.studies()) == 1
            assert len(await queries.study_events(ledger, 1)) == 0
            stores[0].limit(1000)
            await ledger.write(lambda tx: new_study(tx, "large", "x" * 100_000))

    asyncio.run(run())
