"""What a receiver gets: a JSON body and the headers of Standard Webhooks.

The specification: https://github.com/standard-webhooks/standard-webhooks
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import datetime
from typing import Any, NamedTuple

from api import views
from tuner.study import Study
from tuner.trial import Event
from tuner.webhook import TEST, Webhook

_PREFIX = "whsec_"
_SECRET_BYTES = 32


class Message(NamedTuple):
    """One thing to tell. The same event has the same id to the same webhook, however often."""

    message_id: str
    topic: str
    seq: int | None
    body: bytes


def new_secret() -> str:
    """Return a secret to sign with."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def event_message(webhook: Webhook, study: Study, event: Event, topic: str) -> Message:
    """Return the message that tells of an event."""
    place = f"/api/v1/studies/{study.study_id}"
    links = {"study": place}
    if event.number is not None:
        links["trial"] = f"{place}/trials/{event.number}"
    data = {
        "event": views.event_view(event).model_dump(mode="json"),
        "study": {
            "id": study.study_id,
            "name": study.name,
            "project": study.spec.queue.project,
            "state": study.state.value,
        },
        "links": links,
    }
    body = _body(topic, event.at, data)
    return Message(f"{webhook.webhook_id}-{event.seq}", topic, event.seq, body)


def sample_message(webhook: Webhook, now: datetime) -> Message:
    """Return a message that tells of nothing, to try a webhook."""
    body = _body(TEST, now, {"webhook": webhook.webhook_id})
    return Message(f"{webhook.webhook_id}-test-{secrets.token_hex(6)}", TEST, None, body)


def headers_of(message: Message, secret: str, timestamp: int) -> dict[str, str]:
    """Return a message's headers; `timestamp` in seconds since 1970."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "tuner",
        "webhook-id": message.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message.message_id, timestamp, message.body),
    }


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message (Standard Webhooks, symmetric: `v1,` and base64)."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _body(topic: str, at: datetime, data: dict[str, Any]) -> bytes:
    document = {"type": topic, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
