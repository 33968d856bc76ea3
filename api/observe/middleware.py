"""The outermost middleware: each request gets an id, a line in the log, a count and a span."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.observe.metrics import Metrics
from api.observe.refusals import noted
from api.observe.request_id import CURRENT, HEADER, TRACE, id_of
from api.observe.sparing import Sparing
from api.observe.tracing import Tracing

UNMATCHED = "unmatched"
_FREQUENT = frozenset({"/reports", "/heartbeats", "/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SHOWN = ("study", "number", "worker")
_CLIENT_LEFT = 499
_OF_WHO = frozenset({401, 403, 421, 429})
_READY = "/readyz"
"""Its 503 is an answer, which a load balancer asks for each second."""
_OF_STRANGERS = frozenset({401, 429})
"""Refusals of which anybody can cause any number."""
_LINES, _LINE_S = 20, 1.0
"""Lines on those at once, and seconds until one more."""
_log = logging.getLogger("api.requests")


class Observed:
    """ASGI middleware around everything else.

    Guarantees: neither a token (a lease's is in paths), nor a query, nor a body gets into the log;
    metrics have one label for all paths that no route takes.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self.app = app
        self._metrics = metrics
        self._tracing = tracing
        self._sparing = Sparing(_LINES, _LINE_S, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = id_of(scope["headers"])
        CURRENT.set(request_id)
        # Made here, since what routing notes must be seen when the request is over.
        scope.setdefault("state", {})
        header = (HEADER, request_id.encode("ascii"))
        status = _CLIENT_LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        span = None if self._tracing is None else self._tracing.begin(scope)
        TRACE.set(None if span is None else span.place)
        try:
            await self.app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path_format", UNMATCHED)
            self._metrics.requested(route, method, status, seconds)
            if (limit := noted(scope)) is not None:
                self._metrics.refused(limit)
            if span is not None:
                span.end(route_of(scope), method, status)
            self._tell(scope, route, status, seconds)

    def _tell(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        level = logging.DEBUG if scope["path"] == _READY else _level(route, status)
        if not _log.isEnabledFor(level):
            return
        left_out = self._sparing.take() if status in _OF_STRANGERS else 0
        if left_out is None:
            return
        fields = _fields(scope, status, seconds)
        if left_out:
            fields["left_out"] = left_out
        _log.log(level, "request", extra={"fields": fields})


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request: it shows no token."""
    route = getattr(scope.get("route"), "path_format", None)
    if route is None:
        return UNMATCHED
    return f"/api/v1{route}" if scope["path"].startswith("/api/v1/") else str(route)


def _level(route: str, status: int) -> int:
    if status >= 500:
        return logging.WARNING
    return logging.DEBUG if route in _FREQUENT and status < 400 else logging.INFO


def _fields(scope: Scope, status: int, seconds: float) -> dict[str, object]:
    params = scope.get("path_params", {})
    shown = {name: str(params[name])[:100] for name in _SHOWN if name in params}
    return {
        "method": scope["method"][:20],
        "route": route_of(scope),
        **shown,
        "status": status,
        "ms": round(1000 * seconds, 1),
        "user": scope["state"].get("user", "-"),
        **_origin(scope, status),
    }


def _origin(scope: Scope, status: int) -> dict[str, object]:
    """Return where a request came from, if it was refused for who sent it."""
    address = scope["state"].get("address") if status in _OF_WHO else None
    return {} if address is None else {"address": address}
