"""Who may write: one owner, on a schema it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import Ledger, open_ledger
from storage.engine import database_url
from storage.epoch import current
from storage.owner import OWNING, lock_engine, locked_by
from storage.sql_store import SqlStore
from storage.upgrade import upgrade
from tests.contract.ledger_database import (
    count,
    end_connections,
    execute,
    lay_tables,
    loaded,
    new_study,
    new_trial,
    wait_until,
    with_ledger,
)
from tuner.errors import (
    InvalidInput,
    OwnerLost,
    Unavailable,
)


def test_a_second_owner_is_refused_and_told_who_holds_it(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        with pytest.raises(OwnerLost, match=r"process \d+ on "):
            async with open_ledger(url):
                pass
        await ledger.write(new_study)

    with_ledger(url, body)
    assert "'s'" in loaded(url)


def test_a_raised_epoch_fences_the_earlier_owner(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        execute(url, "UPDATE tuner_owner SET epoch = epoch + 1")
        with pytest.raises(OwnerLost):
            await ledger.write(new_trial)
        assert ledger.lost is not None
        with pytest.raises(OwnerLost):
            await ledger.write(new_trial)
        assert ledger.memory.trials(1) == ()

    with_ledger(url, body)
    assert count(url, "trials") == 0


def test_a_hung_owner_is_replaced_once_its_term_is_over(postgres_url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        execute(postgres_url, "UPDATE tuner_owner SET expires_at = now() - interval '1 second'")
        async with open_ledger(postgres_url) as second:
            assert [s.name for s in second.memory.studies()] == ["s"]
            await second.write(new_trial)
            with pytest.raises(OwnerLost, match=r"process \d+ on .* took over"):
                await ledger.write(new_trial)
            await second.write(new_trial)

    with_ledger(postgres_url, body)
    assert count(postgres_url, "trials") == 2


def test_the_ownership_is_renewed_and_its_lock_taken_again(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    try:
        execute(
            postgres_url,
            "UPDATE tuner_owner SET expires_at = now() - interval '1 second'",
        )
        end_connections(postgres_url, OWNING)
        with lock_engine(database_url(postgres_url), "test").connect() as session:
            wait_until(lambda: locked_by(session) == OWNING, "the lock is taken again")
            owner = current(session)
            assert owner is not None
            assert not owner.expired
        store.renew()
        with pytest.raises(OwnerLost, match=r"process \d+ on .* owns this database already"):
            SqlStore(postgres_url)
    finally:
        store.close()
    SqlStore(postgres_url).close()


def test_an_upgrade_needs_the_database_for_itself(url: str) -> None:
    lay_tables(url)

    async def body(ledger: Ledger) -> None:
        with pytest.raises(OwnerLost):
            upgrade(url)
        await ledger.write(new_study)

    with_ledger(url, body)
    upgrade(url)
    assert "'s'" in loaded(url)


def test_lost_connections_refuse_one_batch_and_come_back(postgres_url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        end_connections(postgres_url)
        with pytest.raises(Unavailable):
            await ledger.write(new_trial)
        assert ledger.memory.trials(1) == ()
        assert await ledger.write(new_trial) == 0

    with_ledger(postgres_url, body)
    assert count(postgres_url, "trials") == 1


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    """Else a second server would get a lock of its own beside the link."""
    (tmp_path / "links").mkdir()
    link = tmp_path / "links/link.db"
    link.symlink_to(tmp_path / "tuner.db")

    async def body(ledger: Ledger) -> None:
        with pytest.raises(OwnerLost, match=r"process \d+ on "):
            async with open_ledger(f"sqlite:///{link}"):
                pass
        await ledger.write(new_study)

    with_ledger(f"sqlite:///{tmp_path / 'tuner.db'}", body)
    assert "'s'" in loaded(f"sqlite:///{link}")
    assert [path.name for path in link.parent.iterdir()] == ["link.db"]


@pytest.mark.parametrize("content", [b"text" * 4096, b"SQLite format 3\0" + b"x" * 4096])
def test_a_file_that_is_no_database_is_named_so(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tuner.db"
    file.write_bytes(content)
    with pytest.raises(Unavailable, match="damaged, or no SQLite database"):
        loaded(f"sqlite:///{file}")
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "bad",
    ["sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "nonsense", "sqlite:////no/dir/x.db"],
)
def test_an_unusable_url_is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        loaded(bad)
