"""Telling: one courier a webhook reads events from its cursor on and delivers them in order.

Guarantees: each event is delivered at least once and in order of `seq`, over restarts and
takeovers, since the cursor moves in the commit that records the delivery; nothing here holds up a
commit.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial

from api.services import Services
from api.webhooks import rules
from api.webhooks.message import Message, event_message, headers_of
from api.webhooks.network import Answer
from storage import webhooks as stored
from storage.changes import Committed
from storage.transaction import Transaction
from tuner.errors import NotFound, StorageFull, TunerError, Unavailable
from tuner.trial import Event, EventKind
from tuner.webhook import Delivery, Topic, Webhook

MOST_AT_ONCE = 8
"""Requests under way."""
PAGE = 200
MOST_PASSED = 2_000
"""Events passed over before the cursor is stored."""
AGAIN_S = 2.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """Deliver in the background for as long as the context is open."""
    dispatcher = Dispatcher(services)
    unsubscribe = services.ledger.subscribe(dispatcher.hear)
    try:
        dispatcher.staff()
        yield
    finally:
        unsubscribe()
        await dispatcher.close()


class Dispatcher:
    """A courier for each active webhook."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._couriers: dict[str, Courier] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    def hear(self, news: Committed) -> None:
        """Wake the couriers that a commit concerns."""
        if news.webhooks or news.reloaded:
            self.staff()
        if news.reloaded or (news.events and self._couriers):
            kinds = {event.kind for event in news.events}
            for courier in self._couriers.values():
                if news.reloaded or not kinds.isdisjoint(courier.kinds):
                    courier.wake.set()
        for webhook_id in news.webhooks:
            if webhook_id in self._couriers:
                self._couriers[webhook_id].wake.set()

    def staff(self) -> None:
        """Give each active webhook a courier."""
        for webhook in self._services.ledger.memory.webhooks():
            if webhook.active and webhook.webhook_id not in self._couriers:
                courier = Courier(self._services, webhook, self._turns)
                self._couriers[webhook.webhook_id] = courier
                task = asyncio.create_task(self._keep(courier), name=f"webhook-{courier.of}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all couriers; what they were about to deliver is delivered at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, courier: Courier) -> None:
        while True:
            try:
                await courier.run()
            except TunerError as exc:
                _log.warning("webhook %s waits: %s", courier.of, exc.detail)
            except Exception:
                _log.exception("webhook %s failed and will be tried again", courier.of)
            else:
                break
            await asyncio.sleep(AGAIN_S)
        self._couriers.pop(courier.of, None)
        self.staff()


class Courier:
    """Delivers one webhook's events, one after the other."""

    def __init__(self, services: Services, webhook: Webhook, turns: asyncio.Semaphore) -> None:
        self.of = webhook.webhook_id
        self.kinds = webhook.kinds
        self.wake = asyncio.Event()
        self._services = services
        self._turns = turns
        self._position = webhook.cursor
        self._due = 0.0
        self._incumbents = rules.Incumbents()

    async def run(self) -> None:
        """Deliver until the webhook is switched off or gone."""
        while (webhook := self._webhook()) is not None:
            self.kinds = webhook.kinds
            if webhook.cursor > self._position:
                self._position, self._incumbents = webhook.cursor, rules.Incumbents()
            self.wake.clear()
            if webhook.attempts and (left := self._due - self._services.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self.wake.wait()
                continue
            found = await self._next(webhook)
            if found is None:
                await self.wake.wait()
            elif (now := self._webhook()) is not None and _still(now, *found):
                await self._deliver(now, *found)

    def _webhook(self) -> Webhook | None:
        try:
            webhook = self._services.ledger.memory.webhook(self.of)
        except NotFound:
            return None
        return webhook if webhook.active else None

    async def _next(self, webhook: Webhook) -> tuple[Event, Topic] | None:
        """Return the next event to tell, None if there is none yet."""
        ledger = self._services.ledger
        while True:
            events = await stored.events_for(ledger, webhook, self._position, PAGE)
            for event in events:
                assert event.seq is not None
                if (
                    topic := rules.topic_for(ledger.memory, webhook, event, self._incumbents)
                ) is not None:
                    return event, topic
                self._position = event.seq
            if self._position - webhook.cursor > MOST_PASSED and not webhook.attempts:
                await ledger.write(partial(_pass, webhook=webhook, to=self._position))
                webhook = ledger.memory.webhook(self.of)
            if len(events) < PAGE:
                return None

    async def _deliver(self, webhook: Webhook, event: Event, topic: Topic) -> None:
        services = self._services
        study = services.ledger.memory.study(event.study_id)
        message = event_message(webhook, study, event, topic)
        async with self._turns:
            answer = await send(services, webhook, message)
        after = await self._store(
            partial(_record, services=services, webhook=webhook, answer=answer,
                    message=message, event=event)
        )  # fmt: skip
        if after.cursor == event.seq:
            self._position = event.seq
        if after.attempts:
            wait = rules.pause(after.attempts, answer.retry_after, random.random())
            self._due = services.monotonic() + wait

    async def _store(self, command: Callable[[Transaction], Webhook]) -> Webhook:
        """Store what became of an attempt; while that can't be, nothing further is sent."""
        while True:
            try:
                return await self._services.ledger.write(command)
            except (Unavailable, StorageFull) as exc:
                _log.warning("webhook %s: an attempt is not stored yet: %s", self.of, exc.detail)
                await asyncio.sleep(AGAIN_S)


def _still(webhook: Webhook, event: Event, topic: Topic) -> bool:
    """Tell whether a webhook, which may have been changed meanwhile, is to be told."""
    return event.seq is not None and webhook.cursor < event.seq and topic in webhook.topics


async def send(services: Services, webhook: Webhook, message: Message) -> Answer:
    """Send a message once."""
    timestamp = int(services.clock().timestamp())
    headers = headers_of(message, webhook.secret, timestamp)
    return await services.network.post(webhook.url, headers, message.body)


def record(
    tx: Transaction, webhook: Webhook, message: Message, answer: Answer, *, attempt: int,
    services: Services,
) -> Delivery:  # fmt: skip
    """Store an attempt."""
    number = webhook.deliveries + 1
    delivery = Delivery(
        webhook_id=webhook.webhook_id, number=number, message=message.message_id,
        topic=message.topic, seq=message.seq, attempt=attempt, at=services.clock(),
        took_ms=answer.took_ms, status=answer.status, error=rules.why_not(answer),
        body=answer.body.replace("\0", ""),
    )  # fmt: skip
    tx.put_webhook(webhook.evolve(deliveries=number))
    tx.add_delivery(delivery)
    return delivery


def _record(
    tx: Transaction, *, services: Services, webhook: Webhook, answer: Answer, message: Message,
    event: Event,
) -> Webhook:  # fmt: skip
    """Store an attempt to tell of an event and what it means, unless the webhook was changed."""
    assert event.seq is not None
    now = tx.webhook(webhook.webhook_id)
    attempt = webhook.attempts + 1
    if (now.url, now.active, now.cursor, now.attempts) == (
        webhook.url, True, webhook.cursor, webhook.attempts
    ):  # fmt: skip
        now = rules.after(now, answer, event.seq, services.clock())
        if not now.active:
            _tell_disabled(tx, now, event.study_id, services.clock())
    record(tx, now, message, answer, attempt=attempt, services=services)
    return tx.webhook(webhook.webhook_id)


def _tell_disabled(tx: Transaction, webhook: Webhook, study_id: int, now: datetime) -> None:
    data = {"webhook": webhook.webhook_id, "reason": webhook.reason}
    with suppress(NotFound):
        tx.add_event(Event(study_id=study_id, kind=EventKind.UNTOLD, at=now, data=data))


def _pass(tx: Transaction, webhook: Webhook, to: int) -> None:
    """Move the cursor past events that the webhook is not told of."""
    now = tx.webhook(webhook.webhook_id)
    if now.cursor == webhook.cursor and not now.attempts:
        tx.put_webhook(now.evolve(cursor=to))
