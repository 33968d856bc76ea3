"""Requests a second: a bucket of tokens for each caller, one more for the worker protocol.

Who needs no token (the log-in, `/docs`) has the bucket of its address, so that no stranger can use
up what others log in with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.limits.settings import Limits
from api.observe import refusals
from api.problems import response_of
from api.throttle import neighbourhood
from tuner.errors import TooMany

_WORKER_ROUTES = (
    *("/api/v1/reports", "/api/v1/heartbeats", "/api/v1/leases", "/api/v1/workers"),
    "/api/v1/logs",
)
_ASK = "/ask"
_FREE = ("/healthz", "/readyz")
_MOST_BUCKETS = 10_000
"""Callers that are remembered, of those with a token and of those without."""


@dataclass(slots=True)
class Bucket:
    """A bucket that fills with `rate` tokens a second up to `burst`."""

    rate: float
    burst: float
    level: float
    at: float

    def take(self, now: float) -> float:
        """Take a token and return 0, or the seconds until there is one."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level >= 1.0:
            self.level -= 1.0
            return 0.0
        return (1.0 - self.level) / self.rate

    def is_full(self, now: float) -> bool:
        """Tell whether forgetting the bucket changes nothing."""
        return self.level + (now - self.at) * self.rate >= self.burst


class RateLimit:
    """ASGI middleware: answer 429 to a token, or an address, that asks faster than it may.

    It stands behind what finds out who asks.
    """

    def __init__(self, app: ASGIApp, limits: Limits, monotonic: Callable[[], float]) -> None:
        self.app = app
        self._monotonic = monotonic
        self._rates = (
            (limits.rate, limits.rate_burst),
            (limits.worker_rate, limits.worker_burst),
        )
        self._buckets: dict[tuple[str, bool], Bucket] = {}
        self._strangers: dict[tuple[str, bool], Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _FREE:
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        is_worker = path.startswith(_WORKER_ROUTES) or path.endswith(_ASK)
        if not self._rates[is_worker][0]:
            await self.app(scope, receive, send)
            return
        now = self._monotonic()
        state = scope.get("state", {})
        if "token_id" in state:
            who, bucket = "token", self._bucket(state["token_id"], is_worker, now)
        else:
            who, bucket = "address", self._stranger(state.get("address", ""), is_worker, now)
        wait = bucket.take(now)
        if wait:
            # Not raised: a flood is no reason to unwind the stack or to log.
            detail = f"this {who} may send {bucket.rate:g} requests a second"
            of = refusals.WORKER_REQUESTS if is_worker else refusals.REQUESTS
            error = TooMany(detail, retry_after=math.ceil(wait), limit=bucket.rate, of=of)
            refusals.note(scope, error)
            await response_of(error, _headers(bucket, wait))(scope, receive, send)
            return
        if is_worker:
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, _telling(send, bucket))

    def _bucket(self, caller: str, is_worker: bool, now: float) -> Bucket:
        key = (caller, is_worker)
        found = self._buckets.get(key)
        if found is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._forget(now)
            found = self._buckets[key] = self._full(is_worker, now)
        return found

    def _stranger(self, address: str, is_worker: bool, now: float) -> Bucket:
        """Return an address's bucket; where there are too many, the oldest is forgotten."""
        key = (neighbourhood(address), is_worker)
        found = self._strangers.get(key)
        if found is None:
            if len(self._strangers) >= _MOST_BUCKETS:
                del self._strangers[next(iter(self._strangers))]
            found = self._strangers[key] = self._full(is_worker, now)
        return found

    def _full(self, is_worker: bool, now: float) -> Bucket:
        rate, burst = self._rates[is_worker]
        return Bucket(rate, max(1.0, burst), max(1.0, burst), now)

    def _forget(self, now: float) -> None:
        self._buckets = {k: b for k, b in self._buckets.items() if not b.is_full(now)}


def _headers(bucket: Bucket, wait: float) -> dict[str, str]:
    """Return what tells a caller where it stands (draft-ietf-httpapi-ratelimit-headers-10)."""
    window = math.ceil(bucket.burst / bucket.rate)
    left = math.floor(bucket.level)
    return {
        "RateLimit-Policy": f'"token";q={math.floor(bucket.burst)};w={window}',
        "RateLimit": f'"token";r={left};t={math.ceil(wait)}',
    }


def _telling(send: Send, bucket: Bucket) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(k.lower().encode(), v.encode()) for k, v in _headers(bucket, 0.0).items()]
            message["headers"] = [*message.get("headers", ()), *added]
        await send(message)

    return told
