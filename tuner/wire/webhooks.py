"""Messages about webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from tuner.webhook import USUAL, Topic
from tuner.wire.base import Reply, Request

Url = Annotated[str, Field(min_length=1, max_length=2000)]
Topics = Annotated[
    list[Annotated[Topic, Field(strict=False)]], Field(min_length=1, max_length=len(Topic))
]


class CreateWebhook(Request):
    """POST /webhooks: a receiver, told of what happens from now on.

    `project` and `study` (id or name) say of which studies it is told; of all without them.
    """

    url: Url
    events: Topics = Field(default_factory=lambda: list(USUAL))
    project: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    study: Annotated[str, Field(min_length=1, max_length=100)] | None = None


class ChangeWebhook(Request):
    """PATCH /webhooks/{webhook}. What is absent stays.

    `active: true` tries again at once, from where it ended; with `from_now` what happened meanwhile
    is left out.
    """

    url: Url | None = None
    events: Topics | None = None
    active: bool | None = None
    from_now: bool = False


class TryWebhook(Request):
    """POST /webhooks/{webhook}/test: an empty object."""


class WebhookView(Reply):
    """A receiver. `reason` says why it is not active, if the server ended it.

    `cursor` is the `seq` of the last event dealt with; `attempts` counts those to deliver the next
    one, the first of which failed at `failing_since`.
    """

    id: str
    url: str
    events: list[str]
    project: str | None = None
    study: int | None = None
    active: bool
    reason: str = ""
    cursor: int
    attempts: int = 0
    failing_since: datetime | None = None
    created_by: str = ""
    created_at: datetime


class CreatedWebhook(WebhookView):
    """A receiver just made. The secret is not shown again."""

    secret: str = Field(repr=False)


class WebhookPage(Reply):
    """GET /webhooks: all of them, oldest first."""

    items: list[WebhookView]


class DeliveryView(Reply):
    """An attempt to deliver. `status` is absent where no answer came; `error` says what failed.

    `body` is the beginning of the answer's, as text that others wrote.
    """

    number: int
    message: str
    event: str
    seq: int | None = None
    attempt: int
    delivered: bool
    at: datetime
    took_ms: int
    status: int | None = None
    error: str = ""
    body: str = ""


class DeliveryPage(Reply):
    """GET /webhooks/{webhook}/deliveries: newest first."""

    items: list[DeliveryView]
