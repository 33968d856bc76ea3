"""Tokens and the audit log, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from operator import methodcaller

import pytest

from storage import Ledger, Transaction
from storage.audit import AuditFilter, audit_entries
from tests.contract.ledger_database import NOW, new_study, new_trial, with_ledger
from tuner.access import AuditEntry, Role, Token
from tuner.errors import Conflict, NotFound
from tuner.trial import Lease, Worker

TOKEN = Token(
    token_id="t-1",
    digest="d" * 64,
    name="eve",
    role=Role.WORKER,
    project="red",
    created_by="admin",
    created_at=NOW,
    expires_at=NOW + timedelta(days=1),
)
ENTRY = AuditEntry(at=NOW, who="eve", token_id="t-1", address="::1", action="submit")


def test_tokens_outlive_a_restart_until_they_are_dropped(url: str) -> None:
    other = replace(TOKEN, token_id="t-2", digest="e" * 64, name="bob", expires_at=None)

    async def make(ledger: Ledger) -> None:
        for token in (TOKEN, other):
            await ledger.write(methodcaller("new_token", token))
        with pytest.raises(Conflict):
            await ledger.write(lambda tx: tx.new_token(replace(TOKEN, digest="f" * 64)))
        assert ledger.memory.tokens() == (TOKEN, other)

    async def drop(ledger: Ledger) -> None:
        assert ledger.memory.tokens() == (TOKEN, other)
        news: list[tuple[str, ...]] = []
        ledger.subscribe(lambda c: news.append(c.tokens))
        await ledger.write(lambda tx: tx.drop_token(TOKEN.digest))
        assert news == [(TOKEN.digest,)]
        assert ledger.memory.token(TOKEN.digest) is None
        with pytest.raises(NotFound):
            await ledger.write(lambda tx: tx.drop_token(TOKEN.digest))

    async def look(ledger: Ledger) -> None:
        assert ledger.memory.tokens() == (other,)

    for body in (make, drop, look):
        with_ledger(url, body)


def test_leases_and_workers_keep_their_token(url: str) -> None:
    worker = Worker(
        worker_id="w", name="w", host="h", slots=1, gpus=(), labels={}, allow=(), tasks=(),
        registered_at=NOW, seen_at=NOW, token_id="t-1", project="red",
    )  # fmt: skip

    def command(tx: Transaction) -> None:
        new_study(tx)
        new_trial(tx)
        lease = Lease(
            token="lease-1", study_id=1, number=0, attempt=1, worker_id="w", token_id="t-1"
        )
        tx.open_attempt(tx.trial(1, 0), lease, NOW)
        tx.put_worker(worker)

    async def make(ledger: Ledger) -> None:
        await ledger.write(command)

    async def look(ledger: Ledger) -> None:
        assert ledger.memory.lease("lease-1").token_id == "t-1"
        assert ledger.memory.worker("w") == worker

    for body in (make, look):
        with_ledger(url, body)


def test_the_audit_log_is_in_the_commit_of_what_it_tells(url: str) -> None:
    def good(tx: Transaction) -> None:
        study_id = new_study(tx)
        tx.add_audit(replace(ENTRY, study_id=study_id, study="s", detail={"a": 1}))

    def bad(tx: Transaction) -> None:
        tx.add_audit(ENTRY)
        raise Conflict("no")

    async def body(ledger: Ledger) -> None:
        await ledger.write(good)
        with pytest.raises(Conflict):
            await ledger.write(bad)
        await ledger.write(lambda tx: tx.add_audit(replace(ENTRY, who="bob", action="log-in")))

        async def found(**chosen: str) -> list[str]:
            entries = await audit_entries(ledger, AuditFilter(**chosen), before=2**62, limit=10)
            return [e.who for e in entries]

        assert await found() == ["bob", "eve"]
        assert await found(study="1") == await found(study="s") == await found(who="eve") == ["eve"]
        assert await found(action="log-in") == ["bob"]
        assert await found(study="9" * 30) == []
        (last,) = await audit_entries(ledger, AuditFilter(), before=2**62, limit=1)
        (first,) = await audit_entries(ledger, AuditFilter(), before=last.seq or 0, limit=10)
        assert first == replace(ENTRY, study_id=1, study="s", detail={"a": 1}, seq=first.seq)

    with_ledger(url, body)
