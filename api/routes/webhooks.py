"""Webhooks: make, list, change, try, remove. For admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.body import Json
from api.deps import ServicesDep, UserDep
from api.idempotency import KeyDep, write
from api.webhooks import service
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
async def create_webhook(
    services: ServicesDep, wanted: Json[CreateWebhook], key: KeyDep, user: UserDep
) -> Response:
    await service.check_url(services, wanted.url)
    return await write(
        services, key(), lambda tx: service.create(tx, services, wanted, user), status=201
    )


@router.get("", operation_id="list_webhooks", summary="List webhooks, oldest first")
async def list_webhooks(services: ServicesDep) -> WebhookPage:
    return service.page(services)


@router.get("/{webhook}", operation_id="get_webhook", summary="Show a webhook")
async def get_webhook(services: ServicesDep, webhook: WebhookId) -> WebhookView:
    return service.view(services.ledger.memory.webhook(webhook))


@router.patch(
    "/{webhook}",
    operation_id="change_webhook",
    summary="Change a webhook, switch it off or on again",
    response_model=WebhookView,
)
async def change_webhook(
    services: ServicesDep, webhook: WebhookId, wanted: Json[ChangeWebhook], key: KeyDep
) -> Response:
    if wanted.url is not None:
        await service.check_url(services, wanted.url)
    return await write(services, key(), lambda tx: service.change(tx, webhook, wanted))


@router.delete(
    "/{webhook}",
    operation_id="remove_webhook",
    summary="Remove a webhook",
    response_model=WebhookView,
)
async def remove_webhook(services: ServicesDep, webhook: WebhookId, key: KeyDep) -> Response:
    return await write(services, key(), lambda tx: service.remove(tx, webhook))


@router.post(
    "/{webhook}/test",
    operation_id="test_webhook",
    summary="Send a message that tells of nothing, and answer what became of it",
)
async def test_webhook(
    services: ServicesDep,
    webhook: WebhookId,
    body: Json[TryWebhook],
) -> DeliveryView:
    return await service.try_out(services, webhook)


@router.get(
    "/{webhook}/deliveries",
    operation_id="list_deliveries",
    summary="List the last attempts to deliver, newest first",
)
async def list_deliveries(
    services: ServicesDep,
    webhook: WebhookId,
    limit: Annotated[int, Query(description="Attempts to list", ge=1, le=100)] = 20,
) -> DeliveryPage:
    return await service.deliveries(services, webhook, limit)
