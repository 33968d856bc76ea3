"""Routes that every report takes, called without the framework's solver of dependencies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response

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
        endpoint, body = self.endpoint, next(readers(self.dependant))
        need = need_of(self) or Need(frozenset())

        async def handle(request: Request) -> Response:
            who = identity_of(request.scope)
            check_role(need, who)
            await known_query(request)
            parts = await services(request)
            reply = await endpoint(services=parts, body=await body(request, parts), who=who)
            return Response(reply.model_dump_json(), media_type=JSON)

        return handle


def readers(dependant: Dependant) -> Iterator[StrictBody[Any]]:
    """Yield what reads a route's body."""
    if isinstance(dependant.call, StrictBody):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from readers(inner)
