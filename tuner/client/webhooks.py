"""Webhooks, in the hands of an admin."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from tuner.client.transport import Transport
from tuner.webhook import USUAL
from tuner.wire import (
    ChangeWebhook,
    CreatedWebhook,
    DeliveryPage,
    DeliveryView,
    WebhookPage,
    WebhookView,
)

TEST_S = 30.0
"""Seconds more that a receiver may take to answer a test."""


class Webhooks:
    """The webhooks of a server; `Client.webhooks` gives them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] = USUAL,
        project: str | None = None,
        study: int | str | None = None,
    ) -> CreatedWebhook:
        """Tell a receiver what happens from now on; the answer's `secret` is not shown again.

        Raises:
            InvalidInput: the URL leads to no public address, or an event is not known.
            NotFound: there is no such study.
        """
        body = {
            "url": url,
            "events": [str(event) for event in events],
            "project": project,
            "study": None if study is None else str(study),
        }
        return self._transport.post(CreatedWebhook, "/webhooks", body)

    def list(self) -> list[WebhookView]:
        """Return all webhooks, oldest first."""
        return self._transport.get(WebhookPage, "/webhooks").items

    def change(self, webhook: str, change: ChangeWebhook) -> WebhookView:
        """Change a webhook, switch it off or on again. Raises NotFound, InvalidInput."""
        return self._transport.patch(WebhookView, _path(webhook), change)

    def remove(self, webhook: str) -> WebhookView:
        """Remove a webhook and return how it was. Raises NotFound."""
        return self._transport.delete(WebhookView, _path(webhook))

    def test(self, webhook: str) -> DeliveryView:
        """Send a message that tells of nothing, and return what became of it. Raises NotFound."""
        path = f"{_path(webhook)}/test"
        return self._transport.post(DeliveryView, path, {}, keyed=False, wait_s=TEST_S)

    def deliveries(self, webhook: str, limit: int = 20) -> Sequence[DeliveryView]:
        """Return the last attempts, newest first. Raises NotFound."""
        path = f"{_path(webhook)}/deliveries"
        return self._transport.get(DeliveryPage, path, limit=limit).items


def _path(webhook: str) -> str:
    return f"/webhooks/{quote(webhook, safe='')}"
