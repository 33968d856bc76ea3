"""Backups on their way back, and who worked with the state before."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import psycopg
import pytest

from storage import Ledger, Transaction, queries
from storage.backup import Restored, backup, programs, restore
from storage.check import check
from storage.engine import database_url
from storage.restored import SEQ_GAP
from tests.contract.ledger_database import NOW, count, execute, loaded, new_study, with_ledger
from tests.contract.sample import lay_sample
from tests.postgres import Postgres
from tuner.errors import Conflict, OwnerLost, StaleAttempt
from tuner.trial import Event, EventKind, Lease


def settled(url: str) -> str:
    """Return what a new owner reads, without what a restore changes on purpose."""
    lines = loaded(url).splitlines()
    return "\n".join(line for line in lines if "token-" not in line and "restored-" not in line
                     and "/seq = " not in line)  # fmt: skip


def test_a_restored_database_holds_what_was_backed_up(
    sample: str, other: str, tmp_path: Path
) -> None:
    size = backup(sample, tmp_path / "b")
    assert size == (tmp_path / "b").stat().st_size > 1000
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert restore(other, tmp_path / "b") == Restored(studies=2, outdated=False)
    assert settled(other) == settled(sample)
    assert check(other, artifacts=tmp_path / "artifacts", hashes=True) == []
    assert not list(tmp_path.glob(".*.part*"))


def test_studies_are_replaced_only_when_forced(sample: str, other: str, tmp_path: Path) -> None:
    backup(sample, tmp_path / "b")
    with_ledger(other, lambda ledger: ledger.write(lambda tx: None))
    restore(other, tmp_path / "b")  # it has tables, and no study
    with pytest.raises(Conflict, match="--force"):
        restore(other, tmp_path / "b")
    with_ledger(other, lambda ledger: ledger.write(lambda tx: new_study(tx, "new")))  # type: ignore[arg-type]
    restore(other, tmp_path / "b", force=True)
    assert count(other, "studies") == 2


def test_not_while_a_server_owns_it(sample: str, tmp_path: Path) -> None:
    backup(sample, tmp_path / "b")

    async def body(ledger: Ledger) -> None:
        with pytest.raises(OwnerLost, match="owns this database"):
            await asyncio.to_thread(restore, sample, tmp_path / "b", force=True)
        await ledger.write(lambda tx: new_study(tx, "still mine"))

    with_ledger(sample, body)
    assert count(sample, "studies") == 3


def test_a_lease_from_before_is_stale(sample: str, tmp_path: Path) -> None:
    leases: list[Lease] = []

    async def note(ledger: Ledger) -> None:
        leases.extend(ledger.memory.leases())

    with_ledger(sample, note)
    backup(sample, tmp_path / "b")
    restore(sample, tmp_path / "b", force=True)
    (old,) = leases

    async def body(ledger: Ledger) -> None:
        with pytest.raises(StaleAttempt):
            ledger.memory.lease(old.token)
        (new,) = ledger.memory.leases()
        assert (new.study_id, new.number, new.attempt) == (old.study_id, old.number, old.attempt)

    with_ledger(sample, body)


@pytest.mark.parametrize("lost", [False, True])
def test_a_reader_of_events_misses_nothing(
    sample: str, other: str, tmp_path: Path, lost: bool
) -> None:
    """What happens after a restore is numbered beyond all that was seen before it."""
    backup(sample, tmp_path / "b")
    seen: list[int] = []

    async def goes_on(ledger: Ledger) -> None:
        for _ in range(50):
            await ledger.write(_event)
        seen.extend(e.seq or 0 for e in await queries.study_events(ledger, 1))

    with_ledger(sample, goes_on)
    target = other if lost else sample
    restore(target, tmp_path / "b", force=True)

    async def resumed(ledger: Ledger) -> None:
        await ledger.write(_event)
        found = await queries.study_events(ledger, 1, after=max(seen))
        assert [e.kind for e in found] == [EventKind.RESTORED, EventKind.CHANGED]
        assert (found[0].seq or 0) >= SEQ_GAP

    with_ledger(target, resumed)


def _event(tx: Transaction) -> None:
    tx.add_event(Event(study_id=1, kind=EventKind.CHANGED, at=NOW))


def test_an_owner_of_the_former_state_is_fenced(postgres_url: str, tmp_path: Path) -> None:
    """It lost its lock, and did not notice yet: none of its commits lands after the restore.

    On SQLite no owner loses its lock while its process lives.
    """
    lay_sample(postgres_url, tmp_path / "artifacts")
    backup(postgres_url, tmp_path / "b")

    async def body(ledger: Ledger) -> None:
        with psycopg.connect(_plain(postgres_url), autocommit=True) as beside:
            beside.execute("UPDATE tuner_owner SET expires_at = '2000-01-01'")
        await asyncio.to_thread(restore, postgres_url, tmp_path / "b", force=True)
        with pytest.raises(OwnerLost):
            await ledger.write(lambda tx: new_study(tx, "late"))

    with_ledger(postgres_url, body)
    assert count(postgres_url, "studies") == 2


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_the_epoch_rises_over_a_lost_state_too(sample: str, other: str, tmp_path: Path) -> None:
    execute(sample, "UPDATE tuner_owner SET epoch = 1000")
    backup(sample, tmp_path / "b")
    restore(other, tmp_path / "b")
    execute(other, "DELETE FROM tuner_owner WHERE epoch <= 1000")
    assert count(other, "tuner_owner") == 1


def test_a_restore_by_pg_restore_alone_is_settled_at_the_start(
    postgres_url: str, tmp_path: Path, postgres: Postgres
) -> None:
    lay_sample(postgres_url, tmp_path / "artifacts")
    backup(postgres_url, tmp_path / "b")
    name = postgres.new_database()
    url = postgres.url(name)
    try:
        programs.run("pg_restore", str(tmp_path / "b"), url=database_url(url))

        async def body(ledger: Ledger) -> None:
            (lease,) = ledger.memory.leases()
            assert lease.token.startswith("restored-")
            (told,) = await queries.study_events(ledger, 1, after=SEQ_GAP - 1)
            assert told.kind is EventKind.RESTORED

        for _ in range(2):
            with_ledger(url, body)
        execute(url, "DELETE FROM tuner_owner WHERE epoch < 1000000000")
        assert count(url, "tuner_owner") == 1
    finally:
        postgres.drop_database(name)
