"""Which limit refused a request: named by the error, noted on its way out, counted at the end."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from tuner.errors import QuotaReached, TooMany, TunerError

REQUESTS, WORKER_REQUESTS = "requests", "worker_requests"
POLLS, STREAMS = "long_polls", "event_streams"
WRONG_TOKENS = "wrong_tokens"
CONNECTIONS, HEADS = "connections", "heads"
_QUOTA = "quota_"
KINDS = (
    REQUESTS, WORKER_REQUESTS, POLLS, STREAMS, WRONG_TOKENS, CONNECTIONS, HEADS,
    f"{_QUOTA}queued", f"{_QUOTA}artifact_bytes",
)  # fmt: skip
"""All limits that refuse; there are no others in metrics."""
_NOTE = "refused"


def kind_of(error: TunerError) -> str | None:
    """Return the limit that an error speaks of, None if it speaks of none."""
    if isinstance(error, QuotaReached):
        return f"{_QUOTA}{error.extra['quota']}"
    return error.extra.get("of") if isinstance(error, TooMany) else None


def note(scope: MutableMapping[str, Any], error: TunerError) -> None:
    """Note on a request's scope which limit refused it, if one did."""
    if (kind := kind_of(error)) is not None:
        scope.setdefault("state", {})[_NOTE] = kind


def noted(scope: MutableMapping[str, Any]) -> str | None:
    """Return the limit that refused a request."""
    found: str | None = scope["state"].get(_NOTE)
    return found
