"""Routes that every report takes, called without the framework's routing and solving."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import cached_property
from typing import Any

from fastapi import APIRouter, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import Need, check_role, identity_of, need_of
from api.body import JSON, StrictBody
from api.deps import known_query, services


class DirectRoute(APIRoute):
    """A route whose endpoint is `async (services, body: Json[Model], who) -> BaseModel`.

    Described like any other. Solving such a route's dependencies costs the framework more than
    the service spends on a report.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        return self.answer

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        who = identity_of(request.scope)
        check_role(self._need, who)
        await known_query(request)
        parts = await services(request)
        body = await self._read(request, parts)
        reply = await self.endpoint(services=parts, body=body, who=who)
        return Response(reply.model_dump_json(), media_type=JSON)

    @cached_property
    def _need(self) -> Need:
        return need_of(self) or Need(frozenset())

    @cached_property
    def _read(self) -> StrictBody[Any]:
        return next(readers(self.dependant))


class Shortcut:
    """ASGI middleware, the innermost: take requests to direct routes past the framework's router.

    Of what a report costs the event loop, the way through that router is a fifth.
    """

    def __init__(self, app: ASGIApp, routers: Sequence[tuple[str, APIRouter]]) -> None:
        self.app = app
        self._routes = {
            (method, prefix + route.path): route
            for prefix, router in routers
            for route in router.routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route = self._routes.get((scope.get("method", ""), scope.get("path", "")))
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        response = await route.answer(Request(scope, receive, send))
        await response(scope, receive, send)


def readers(dependant: Dependant) -> Iterator[StrictBody[Any]]:
    """Yield what reads a route's body."""
    if isinstance(dependant.call, StrictBody):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from readers(inner)
