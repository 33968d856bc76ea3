"""Webhooks: make, list, change, try, remove. For admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.access import ActorDep, needs
from api.body import Json
from api.deps import ServicesDep, Whole
from api.idempotency import KeyDep, write
from api.webhooks import service
from storage.transaction import Transaction
from tuner.access import Role
from tuner.wire import (
    ChangeWebhook,
    CreatedWebhook,
    CreateWebhook,
    DeliveryPage,
    DeliveryView,
    TryWebhook,
    WebhookPage,
    WebhookView,
)

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
WebhookId = Annotated[
    str, Path(description="A webhook's id", max_length=40, pattern=r"^[A-Za-z0-9_]+$")
]


@router.post(
    "",
    operation_id="create_webhook",
    summary="Tell another service what happens from now on",
    status_code=201,
    response_model=CreatedWebhook,
)
@needs(Role.ADMIN)
async def create_webhook(
    services: ServicesDep, wanted: Json[CreateWebhook], key: KeyDep, actor: ActorDep
) -> Response:
    await service.check_url(services, wanted.url)

    def command(tx: Transaction) -> CreatedWebhook:
        actor.note(tx, services, "webhook-create", url=wanted.url)
        return service.create(tx, services, wanted, actor.identity.name)

    return await write(services, key(), command, status=201)


@router.get("", operation_id="list_webhooks", summary="List webhooks, oldest first")
@needs(Role.ADMIN)
async def list_webhooks(services: ServicesDep) -> WebhookPage:
    return service.page(services)


@router.get("/{webhook}", operation_id="get_webhook", summary="Show a webhook")
@needs(Role.ADMIN)
async def get_webhook(services: ServicesDep, webhook: WebhookId) -> WebhookView:
    return service.view(services.ledger.memory.webhook(webhook))


@router.patch(
    "/{webhook}",
    operation_id="change_webhook",
    summary="Change a webhook, switch it off or on again",
    response_model=WebhookView,
)
@needs(Role.ADMIN)
async def change_webhook(
    services: ServicesDep,
    webhook: WebhookId,
    wanted: Json[ChangeWebhook],
    key: KeyDep,
    actor: ActorDep,
) -> Response:
    if wanted.url is not None:
        await service.check_url(services, wanted.url)

    def command(tx: Transaction) -> WebhookView:
        changes = wanted.model_dump(mode="json", exclude_unset=True)
        actor.note(tx, services, "webhook-change", webhook=webhook, **changes)
        return service.change(tx, webhook, wanted)

    return await write(services, key(), command)


@router.delete(
    "/{webhook}",
    operation_id="remove_webhook",
    summary="Remove a webhook",
    response_model=WebhookView,
)
@needs(Role.ADMIN)
async def remove_webhook(
    services: ServicesDep, webhook: WebhookId, key: KeyDep, actor: ActorDep
) -> Response:
    def command(tx: Transaction) -> WebhookView:
        actor.note(tx, services, "webhook-remove", webhook=webhook)
        return service.remove(tx, webhook)

    return await write(services, key(), command)


@router.post(
    "/{webhook}/test",
    operation_id="test_webhook",
    summary="Send a message that tells of nothing, and answer what became of it",
)
@needs(Role.ADMIN)
async def test_webhook(
    services: ServicesDep,
    webhook: WebhookId,
    body: Json[TryWebhook],
    actor: ActorDep,
) -> DeliveryView:
    return await service.try_out(services, webhook, actor)


@router.get(
    "/{webhook}/deliveries",
    operation_id="list_deliveries",
    summary="List the last attempts to deliver, newest first",
)
@needs(Role.ADMIN)
async def list_deliveries(
    services: ServicesDep,
    webhook: WebhookId,
    limit: Annotated[int, Query(description="Attempts to list", ge=1, le=100), Whole] = 20,
) -> DeliveryPage:
    return await service.deliveries(services, webhook, limit)
