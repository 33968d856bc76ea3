"""Webhooks as they are stored: the cursor survives, attempts are bounded, nothing outlives them."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from operator import methodcaller

import pytest

from storage import Ledger, Transaction
from storage.changes import Changes
from storage.sql_store import SqlStore
from storage.webhook_rows import KEPT
from storage.webhooks import deliveries_of, events_for
from tests.contract.ledger_database import NOW, count, execute, new_study, with_ledger
from tuner.errors import NotFound, Unavailable
from tuner.trial import Event, EventKind
from tuner.webhook import Delivery, Topic, Webhook

HOOK = Webhook(
    webhook_id="wh_1",
    url="https://hooks.example/ü",
    secret="whsec_AAAA",
    topics=(Topic.STUDY_FINISHED, Topic.TRIAL_BEST),
    project="vision",
    study_id=3,
    active=False,
    reason="gone",
    cursor=2**40,
    attempts=3,
    failing_since=NOW,
    deliveries=7,
    created_by="admin",
    created_at=NOW - timedelta(days=1),
)
TRIED = Delivery(
    webhook_id="wh_1",
    number=8,
    message="wh_1-5",
    topic=Topic.STUDY_FINISHED,
    seq=2**40,
    attempt=3,
    at=NOW,
    took_ms=12,
    status=500,
    error="answered 500",
    body="<b>",
)


def test_what_is_stored_reads_back(url: str) -> None:
    plain = Webhook(
        webhook_id="wh_0", url="u", secret="s", topics=(Topic.STUDY_FAILED,), created_by="",
        created_at=NOW, cursor=0,
    )  # fmt: skip

    async def write(ledger: Ledger) -> None:
        def command(tx: Transaction) -> None:
            tx.put_webhook(plain)
            tx.put_webhook(HOOK)
            tx.add_delivery(TRIED)
            assert tx.webhook("wh_1") == HOOK

        await ledger.write(command)
        await ledger.write(lambda tx: tx.put_webhook(HOOK.evolve(cursor=2**41)))

    async def read(ledger: Ledger) -> None:
        assert ledger.memory.webhooks() == (HOOK.evolve(cursor=2**41), plain)
        assert await deliveries_of(ledger, "wh_1", 10) == [TRIED]

    with_ledger(url, write)
    with_ledger(url, read)


def test_the_last_attempts_are_kept(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(lambda tx: tx.put_webhook(HOOK))
        for start in range(0, 3 * KEPT, 25):
            tries = [replace(TRIED, number=n) for n in range(start + 1, start + 26)]
            await asyncio.gather(
                *(ledger.write(methodcaller("add_delivery", one)) for one in tries)
            )
        found = await deliveries_of(ledger, "wh_1", 2 * KEPT)
        assert [d.number for d in found] == list(range(3 * KEPT, 2 * KEPT, -1))

    with_ledger(url, body)


def test_a_removed_webhook_leaves_nothing(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        def make(tx: Transaction) -> None:
            tx.put_webhook(HOOK)
            tx.add_delivery(TRIED)

        def remove_and_try(tx: Transaction) -> None:
            tx.add_delivery(replace(TRIED, number=9))
            tx.drop_webhook("wh_1")

        await ledger.write(make)
        await ledger.write(remove_and_try)
        assert ledger.memory.webhooks() == ()
        for late in (
            lambda tx: tx.add_delivery(TRIED),
            lambda tx: tx.drop_webhook("wh_1"),
            lambda tx: tx.webhook("wh_1"),
        ):
            with pytest.raises(NotFound):
                await ledger.write(late)

    with_ledger(url, body)
    assert count(url, "tuner_webhooks") == count(url, "tuner_webhook_deliveries") == 0


def test_a_failed_commit_moves_no_cursor(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        await ledger.write(lambda tx: tx.put_webhook(HOOK))
        execute(url, "ALTER TABLE tuner_webhook_deliveries RENAME TO away")

        def deliver(tx: Transaction) -> None:
            tx.put_webhook(HOOK.evolve(cursor=2**50))
            tx.add_delivery(TRIED)

        with pytest.raises(Unavailable):
            await ledger.write(deliver)
        assert ledger.memory.webhook("wh_1") == HOOK
        execute(url, "ALTER TABLE away RENAME TO tuner_webhook_deliveries")
        await ledger.write(deliver)
        assert ledger.memory.webhook("wh_1").cursor == 2**50

    with_ledger(url, body)


def test_events_after_the_cursor_in_order(url: str) -> None:
    async def body(ledger: Ledger) -> None:
        assert await ledger.write(lambda tx: tx.last_seq) == 0
        for name in ("a", "b"):
            await ledger.write(partial(new_study, name=name))

        def happen(tx: Transaction) -> None:
            for kind in (EventKind.PAUSED, EventKind.ENDED, EventKind.FINISHED):
                for study_id in (1, 2):
                    tx.add_event(Event(study_id=study_id, kind=kind, at=NOW))

        await ledger.write(happen)
        assert await ledger.write(lambda tx: tx.last_seq) == 6
        every = HOOK.evolve(study_id=None)
        found = await events_for(ledger, every, 0, 10)
        assert [e.seq for e in found] == [3, 4, 5, 6]
        assert [e.seq for e in await events_for(ledger, every, 3, 2)] == [4, 5]
        assert [e.seq for e in await events_for(ledger, HOOK.evolve(study_id=2), 0, 10)] == [4, 6]

    with_ledger(url, body)


def test_events_of_a_commit_under_way_are_left_for_later(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What memory shows of their trials is old until then: a best one would be passed over."""
    stored, go_on = threading.Event(), threading.Event()
    commit = SqlStore.commit

    def slowly(store: SqlStore, changes: Changes) -> None:
        commit(store, changes)
        if changes.events:
            stored.set()
            assert go_on.wait(60)

    async def not_on_the_loop(store: SqlStore, changes: Changes) -> bool:
        return False

    monkeypatch.setattr(SqlStore, "commit", slowly)
    monkeypatch.setattr(SqlStore, "try_commit", not_on_the_loop)

    async def body(ledger: Ledger) -> None:
        await ledger.write(partial(new_study, name="a"))
        ended = Event(study_id=1, kind=EventKind.ENDED, at=NOW)
        every = HOOK.evolve(study_id=None)
        writing = asyncio.create_task(ledger.write(methodcaller("add_event", ended)))
        try:
            assert await asyncio.to_thread(stored.wait, 60)
            assert await events_for(ledger, every, 0, 10) == []
        finally:
            go_on.set()
        await writing
        assert [e.seq for e in await events_for(ledger, every, 0, 10)] == [1]

    with_ledger(url, body)
