"""Webhooks: made, listed, changed, tried, removed. One transaction a call."""

from __future__ import annotations

import secrets

from api import studies
from api.access import Actor
from api.services import Services
from api.webhooks import dispatch
from api.webhooks.message import new_secret, sample_message
from storage import webhooks as stored
from storage.transaction import Transaction
from tuner.errors import Conflict, Fault, InvalidInput
from tuner.webhook import Delivery, Webhook
from tuner.wire import (
    ChangeWebhook,
    CreatedWebhook,
    CreateWebhook,
    DeliveryPage,
    DeliveryView,
    WebhookPage,
    WebhookView,
)

MOST = 100
"""Webhooks of one server."""


async def check_url(services: Services, url: str) -> None:
    """Refuse a URL that is never told anything.

    Raises:
        InvalidInput: and why.
    """
    try:
        await services.network.check(url)
    except InvalidInput as exc:
        fault = Fault(where="url", message=exc.detail)
        raise InvalidInput(f"url: {exc.detail}", [fault]) from exc


def create(
    tx: Transaction, services: Services, wanted: CreateWebhook, created_by: str
) -> CreatedWebhook:
    """Store a webhook that is told of what happens from now on.

    Raises:
        Conflict: there are too many.
        NotFound: there is no such study.
    """
    if len(tx.webhooks()) >= MOST:
        raise Conflict(f"there are {MOST} webhooks; remove one first")
    webhook = Webhook(
        webhook_id=f"wh_{secrets.token_hex(8)}",
        url=wanted.url,
        secret=new_secret(),
        topics=tuple(dict.fromkeys(wanted.events)),
        project=wanted.project,
        study_id=None if wanted.study is None else studies.find(tx, wanted.study).study_id,
        created_by=created_by,
        created_at=services.clock(),
        cursor=tx.last_seq,
    )
    tx.put_webhook(webhook)
    return CreatedWebhook(**view(webhook).model_dump(), secret=webhook.secret)


def change(tx: Transaction, webhook_id: str, wanted: ChangeWebhook) -> WebhookView:
    """Change a webhook; one that is switched on is tried at once.

    Raises:
        NotFound: there is none.
    """
    webhook = tx.webhook(webhook_id)
    if wanted.url is not None:
        webhook = webhook.evolve(url=wanted.url, attempts=0, failing_since=None)
    if wanted.events is not None:
        webhook = webhook.evolve(topics=tuple(dict.fromkeys(wanted.events)))
    if wanted.active is not None:
        webhook = webhook.evolve(active=wanted.active, reason="", attempts=0, failing_since=None)
    if wanted.from_now:
        webhook = webhook.evolve(cursor=tx.last_seq, attempts=0, failing_since=None)
    tx.put_webhook(webhook)
    return view(webhook)


def remove(tx: Transaction, webhook_id: str) -> WebhookView:
    """Remove a webhook and answer how it was. Raises NotFound."""
    webhook = tx.webhook(webhook_id)
    tx.drop_webhook(webhook_id)
    return view(webhook)


def study_dropped(tx: Transaction, study_id: int) -> None:
    """Switch off the webhooks of a study that is no more, since its id may be given again."""
    for webhook in tx.webhooks():
        if webhook.study_id == study_id:
            tx.put_webhook(webhook.evolve(active=False, reason="its study was deleted"))


async def try_out(services: Services, webhook_id: str, actor: Actor) -> DeliveryView:
    """Send a message that tells of nothing, once, and answer what became of it.

    Raises:
        NotFound: there is no such webhook.
    """
    webhook = services.ledger.memory.webhook(webhook_id)
    message = sample_message(webhook, services.clock())
    answer = await dispatch.send(services, webhook, message)

    def command(tx: Transaction) -> Delivery:
        now = tx.webhook(webhook_id)
        actor.note(tx, services, "webhook-test", webhook=webhook_id, status=answer.status)
        return dispatch.record(tx, now, message, answer, attempt=1, services=services)

    return delivery_view(await services.ledger.write(command))


def page(services: Services) -> WebhookPage:
    """List all webhooks."""
    return WebhookPage(items=[view(w) for w in services.ledger.memory.webhooks()])


async def deliveries(services: Services, webhook_id: str, limit: int) -> DeliveryPage:
    """List a webhook's last attempts. Raises NotFound."""
    services.ledger.memory.webhook(webhook_id)
    found = await stored.deliveries_of(services.ledger, webhook_id, limit)
    return DeliveryPage(items=[delivery_view(d) for d in found])


def view(webhook: Webhook) -> WebhookView:
    """Show a webhook, but for its secret."""
    return WebhookView(
        id=webhook.webhook_id,
        url=webhook.url,
        events=[topic.value for topic in webhook.topics],
        project=webhook.project,
        study=webhook.study_id,
        active=webhook.active,
        reason=webhook.reason,
        cursor=webhook.cursor,
        attempts=webhook.attempts,
        failing_since=webhook.failing_since,
        created_by=webhook.created_by,
        created_at=webhook.created_at,
    )


def delivery_view(delivery: Delivery) -> DeliveryView:
    """Show an attempt."""
    return DeliveryView(
        number=delivery.number,
        message=delivery.message,
        event=delivery.topic,
        seq=delivery.seq,
        attempt=delivery.attempt,
        delivered=delivery.delivered,
        at=delivery.at,
        took_ms=delivery.took_ms,
        status=delivery.status,
        error=delivery.error,
        body=delivery.body,
    )
