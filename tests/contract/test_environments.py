"""What attempts ran on and with, on SQLite and PostgreSQL: parts are stored once a study."""

from __future__ import annotations

import json
from collections.abc import Sequence

from storage import Ledger, Transaction
from storage.changes import EnvironmentPart, StoredEnvironment
from storage.environments import attempt_holder, known_parts, read_environments
from tests.contract.ledger_database import NOW, new_study, new_trial, with_ledger
from tuner.trial import AttemptEnd, Lease

ODD = "é \\ \" { } ',' NULL \t \u2028 '"
PACKAGES = EnvironmentPart("p" * 64, "packages", json.dumps({"torch": "2.1", ODD: ODD}))
CODE = EnvironmentPart("c" * 64, "code", json.dumps({"kind": "none", "note": ODD}))


def machine(digest: str, host: str) -> EnvironmentPart:
    document = {"host": host, "packages": PACKAGES.digest, "code": CODE.digest}
    return EnvironmentPart(digest, "machine", json.dumps(document))


FIRST, SECOND = machine("1" * 64, "a"), machine("2" * 64, "b")


def stored(digest: str, attempt: int, parts: Sequence[EnvironmentPart]) -> StoredEnvironment:
    return StoredEnvironment(
        trial_id=1, study_id=1, attempt=attempt, digest=digest, parts=tuple(parts)
    )


def lease(attempt: int) -> Lease:
    return Lease(
        token=f"lease-{attempt}", study_id=1, number=0, attempt=attempt, worker_id=None,
        token_id="t-1",
    )  # fmt: skip


def begin(tx: Transaction) -> None:
    """Open an attempt and record it in the same commit."""
    new_study(tx)
    new_trial(tx)
    tx.open_attempt(tx.trial(1, 0), lease(1), NOW)
    tx.put_environment(stored(FIRST.digest, 1, [FIRST, PACKAGES, CODE]))


def go_on(tx: Transaction) -> None:
    """Record a second attempt twice, the second time with parts that are stored already."""
    tx.close_attempt(tx.trial(1, 0), AttemptEnd.RELEASED, NOW)
    tx.open_attempt(tx.trial(1, 0), lease(2), NOW)
    tx.put_environment(stored(FIRST.digest, 2, []))
    tx.put_environment(stored(SECOND.digest, 2, [SECOND, PACKAGES]))


def test_environments_outlive_a_restart(url: str) -> None:
    async def write(ledger: Ledger) -> None:
        await ledger.write(begin)
        await ledger.write(go_on)

    async def look(ledger: Ledger) -> None:
        found = await ledger.read(lambda c: read_environments(c, 1, 0))
        assert [(e.attempt, e.machine["host"]) for e in found] == [(1, "a"), (2, "b")]
        assert all(e.packages == {"torch": "2.1", ODD: ODD} for e in found)
        assert found[0].code == {"kind": "none", "note": ODD}
        digests = [CODE.digest, FIRST.digest, "x" * 64]
        known = await ledger.read(lambda c: known_parts(c, 1, digests))
        assert known == {CODE.digest, FIRST.digest}
        assert await ledger.read(lambda c: known_parts(c, 2, digests)) == set()
        assert await ledger.read(lambda c: attempt_holder(c, 1, 2)) == ("lease-2", "t-1")
        assert await ledger.read(lambda c: attempt_holder(c, 1, 3)) is None

    for body in (write, look):
        with_ledger(url, body)
