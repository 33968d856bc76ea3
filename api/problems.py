"""The one place where errors become problem documents (RFC 9457).

Nothing of the input is echoed but what an error's own sentence quotes; nothing of the internals.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.observe import refusals
from api.observe.middleware import route_of
from api.observe.request_id import CURRENT
from tuner.errors import (
    Fault,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    StorageFull,
    TunerError,
    Unavailable,
)
from tuner.wire import Problem

MEDIA = "application/problem+json"
_EVERY_REPLY = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_logger = logging.getLogger(__name__)


def problem_of(error: TunerError) -> Problem:
    """Return an error's problem document."""
    faults = error.faults if isinstance(error, InvalidInput) else ()
    return Problem(
        type=f"/problems/{error.slug}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        faults=[{"where": f.where, "message": f.message} for f in faults],
        extra=dict(error.extra),
    )


def response_of(error: TunerError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP answer for an error."""
    # ASCII escapes, since a sentence may quote half a surrogate pair, which UTF-8 can't carry.
    document = problem_of(error).model_dump()
    if request_id := CURRENT.get():
        document["instance"] = f"urn:tuner:request:{request_id}"
    body = json.dumps(document, ensure_ascii=True, default=str)
    found = dict(headers or {})
    if error.status == 401:
        found["WWW-Authenticate"] = 'Bearer realm="tuner"'
    if "retry_after" in error.extra:
        found["Retry-After"] = str(math.ceil(error.extra["retry_after"]))
    return Response(body, status_code=error.status, headers=found, media_type=MEDIA)


def install(app: FastAPI, routers: Sequence[tuple[str, APIRouter]]) -> None:
    """Let the framework's own errors be answered as problem documents; `routers` by prefix."""
    app.state.routers = tuple(routers)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)


class Boundary:
    """ASGI middleware: answer every error, log the unexpected ones, let none out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_EVERY_REPLY]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as exc:
            if started:
                raise
            error = _expected(exc, scope)
            refusals.note(scope, error)
            await response_of(error)(scope, receive, watched)


def _expected(exc: Exception, scope: Scope) -> TunerError:
    if isinstance(exc, TunerError):
        if exc.status >= 500 and not isinstance(exc, Unavailable | StorageFull):
            _logger.warning("%s %s: %s", scope["method"], route_of(scope), exc.detail)
        return exc
    _logger.error("%s %s failed", scope["method"], route_of(scope), exc_info=exc)
    return TunerError("an error of the server's own; its log has the details")


async def _http_error(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    path = request.url.path[:200]
    if exc.status_code == 404:
        return response_of(NotFound(f"there is nothing at {path}"), exc.headers)
    if exc.status_code == 405:
        allowed = _methods(request) or (exc.headers or {}).get("Allow", "")
        error = MethodNotAllowed(f"{path} takes {allowed or 'other methods'}, not {request.method}")
        return response_of(error, {"Allow": allowed})
    if exc.status_code < 500:
        return response_of(InvalidInput(str(exc.detail)[:500]), exc.headers)
    return response_of(TunerError("an error of the server's own"), exc.headers)


def _methods(request: Request) -> str:
    """Return the methods that the routes of this path take, for the header `Allow`."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    found: set[str] = set()
    for prefix, router in request.app.state.routers:
        for route in router.routes:
            if (
                isinstance(route, APIRoute)
                and path.startswith(prefix)
                and route.path_regex.match(path[len(prefix) :])
            ):
                found |= set(route.methods or ())
    if "GET" in found:
        found.add("HEAD")
    return ", ".join(sorted(found))


async def _invalid_request(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    faults = [_fault(error) for error in exc.errors()]
    first = f"{faults[0].where}: {faults[0].message}" if faults else "the request is not valid"
    return response_of(InvalidInput(first, faults))


def _fault(error: Mapping[str, Any]) -> Fault:
    location: Sequence[object] = error.get("loc", ())
    where = ".".join(str(part) for part in location)
    return Fault(where=where[:300], message=str(error.get("msg", "is not valid"))[:500])
