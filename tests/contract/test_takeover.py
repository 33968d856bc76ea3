"""Commits, renewals and claims of a database that meet."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from storage import epoch as epochs
from storage.bulk import insert_rows
from storage.engine import database_url
from storage.owner import AdvisoryLock
from storage.sql_store import SqlStore
from storage.standby import watch
from storage.tables import optuna_studies
from storage.upgrade import upgrade
from tests.contract.ledger_database import lay_tables, sql, wait_until
from tuner.errors import OwnerLost

SLOW = "id = 1 AND pg_sleep(1) IS NOT NULL"
SLOW_CHECK = epochs.LOCKED.decode().replace("$1", "2").replace("id = 1", SLOW)
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND (wait_event = 'PgSleep' OR wait_event_type = 'Lock')"
)


def _owner(engine: Engine) -> epochs.Owner:
    with engine.connect() as connection:
        found = epochs.current(connection)
    assert found is not None
    return found


def _is_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(text(WAITING)).scalar_one())


def test_a_long_commit_does_not_keep_a_renewal_waiting(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    try:
        with sql(postgres_url) as engine, engine.begin() as committing:
            epochs.check(committing, 1)
            before = _owner(engine).expires_at
            wait_until(lambda: _owner(engine).expires_at > before, "the term is renewed")
    finally:
        store.close()


def test_a_claim_waits_for_the_commit_under_way(postgres_url: str) -> None:
    upgrade(postgres_url)
    claimed: list[int] = []
    with sql(postgres_url) as engine:

        def claim(name: str) -> None:
            with engine.begin() as connection:
                claimed.append(epochs.claim(connection, name))

        claim("first")
        with engine.begin() as committing:
            epochs.check(committing, 1)
            second = threading.Thread(target=claim, args=("second",))
            second.start()
            wait_until(lambda: _is_waiting(engine), "the claim waits")
            assert claimed == [1]
        second.join()
        assert claimed == [1, 2]
        with engine.begin() as late, pytest.raises(OwnerLost, match="second took over"):
            epochs.check(late, 1)


def test_rows_that_collide_with_a_new_owners_are_refused_for_the_epoch(url: str) -> None:
    """They carry ids that the new owner gave, too; the ledger must stop and not try again."""
    lay_tables(url)
    study = {"study_id": 1, "study_name": "s"}
    with sql(url) as engine:
        with engine.begin() as connection:
            epochs.claim(connection, "first")
        with engine.begin() as connection:
            epochs.claim(connection, "second")
            insert_rows(connection, optuna_studies, [study])
        for epoch, refusal in ((1, "second took over"), (2, r"(?i)unique")):
            with (
                engine.connect() as connection,
                pytest.raises(Exception, match=refusal),
                epochs.committed(connection, epoch),
            ):
                insert_rows(connection, optuna_studies, [study])


def test_a_commit_that_began_before_a_claim_sees_it(postgres_url: str) -> None:
    """PostgreSQL would give the row as the statement's snapshot has it, were it not locked."""
    upgrade(postgres_url)
    seen: list[int] = []
    with sql(postgres_url) as engine:

        def look() -> None:
            with engine.begin() as connection:
                seen.append(connection.execute(text(SLOW_CHECK)).scalar_one())

        with engine.begin() as connection:
            epochs.claim(connection, "first")
        late = threading.Thread(target=look)
        late.start()
        wait_until(lambda: _is_waiting(engine), "the commit looks at the row")
        with engine.begin() as connection:
            epochs.claim(connection, "second")
        late.join()
    assert seen == [1]  # it divides one by one: the epoch is 2


def test_taking_the_lock_ends_what_an_earlier_owner_is_committing(postgres_url: str) -> None:
    upgrade(postgres_url)
    with sql(postgres_url) as engine:
        with engine.begin() as connection:
            epochs.claim(connection, "first")
        hung = engine.connect()
        epochs.check(hung, 1)
        lock = AdvisoryLock(database_url(postgres_url))
        lock.acquire()
        with engine.begin() as connection:
            connection.execute(text("SET lock_timeout = '30s'"))
            assert epochs.claim(connection, "second") == 2
        with pytest.raises(Exception, match="terminating connection"):
            hung.execute(text("SELECT 1"))
        hung.close()
        lock.release()


def test_an_upgrade_is_never_cut_off(postgres_url: str) -> None:
    """Its lock is not an owner's: however long it lasts, nobody ends its session."""
    SqlStore(postgres_url).close()
    upgrading = AdvisoryLock(database_url(postgres_url))
    upgrading.acquire()
    try:
        with pytest.raises(OwnerLost, match="starts on this database, upgrades or restores it"):
            SqlStore(postgres_url)
        beside = watch(postgres_url)
        assert "upgrades" in str(beside.look())
        beside.close()
        with pytest.raises(OwnerLost):
            AdvisoryLock(database_url(postgres_url)).acquire()
    finally:
        upgrading.release()
    SqlStore(postgres_url).close()
