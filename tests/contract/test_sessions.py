"""Browsers' sessions in SQL: kept until they are ended, over, or their token is void."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from storage import Ledger, Transaction
from storage.backup import backup, restore
from storage.changes import StoredSession
from storage.session_rows import read_sessions
from tests.contract.ledger_database import NOW, count, with_ledger
from tuner.access import Role, Token


def session(
    key: str, hours: float = 1.0, *, at: float = 0.0, digest: str | None = None
) -> StoredSession:
    begun = NOW + timedelta(hours=at)
    ends_at = begun + timedelta(hours=hours)
    return StoredSession(key=key, digest=digest, proof="p" * 64, at=begun, ends_at=ends_at)


def test_a_restore_ends_sessions(url: str, other: str, tmp_path: Path) -> None:
    """One that was ended since the backup would live again."""
    with_ledger(url, lambda ledger: ledger.write(lambda tx: tx.put_session(session("a"))))
    backup(url, tmp_path / "b")
    assert count(url, "tuner_sessions") == 1
    restore(other, tmp_path / "b")
    assert count(other, "tuner_sessions") == 0


def test_sessions_outlive_a_restart(url: str) -> None:
    token = Token(
        token_id="t-1", digest="d" * 64, name="ann", role=Role.VIEWER, project=None,
        created_by="admin", created_at=NOW, expires_at=None,
    )  # fmt: skip
    first = session("a"), session("b"), session("c", digest=token.digest), session("d", 0.1)

    def begin(tx: Transaction) -> None:
        tx.new_token(token)
        for one in first:
            tx.put_session(one)

    def end(tx: Transaction) -> None:
        tx.drop_session("a")
        tx.drop_token(token.digest)
        tx.put_session(session("e", at=0.5))

    async def kept(ledger: Ledger, hours: float) -> list[StoredSession]:
        found = await ledger.read(partial(read_sessions, now=NOW + timedelta(hours=hours)))
        return sorted(found, key=lambda one: one.key)

    async def write(ledger: Ledger) -> None:
        await ledger.write(begin)

    async def change(ledger: Ledger) -> None:
        assert await kept(ledger, 0.0) == list(first)
        assert [one.key for one in await kept(ledger, 0.1)] == ["a", "b", "c"]
        await ledger.write(end)

    async def look(ledger: Ledger) -> None:
        assert [one.key for one in await kept(ledger, 0.0)] == ["b", "e"]

    for body in (write, change, look):
        with_ledger(url, body)
