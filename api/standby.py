"""Standing by: what a server answers while another one owns the database, and when its turn comes.

A server listens from its start. Until it owns the database, its front answers that it is alive and
not ready; then the application takes the front's place, on the same socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import Guard
from api.observe.metrics import MEDIA, Metrics
from api.observe.middleware import Observed
from api.observe.state import Standing
from api.problems import Boundary, response_of
from api.services import Services
from api.settings import Settings
from storage.standby import POLL_S, watch
from tuner.errors import Unavailable
from tuner.wire import Health

RETRY_AFTER_S = 2
NOBODY = "nobody"


class Front:
    """What listens: the application once it is open; until then every other route is 503.

    What is open: /healthz, and to those with a token /metrics.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.holder = NOBODY
        """Who owns the database, while this server does not."""
        self.services: Services | None = None
        self._metrics = metrics or Metrics()
        self._metrics.watch(Standing())
        guarded = Boundary(Guard(self._wait, settings))
        self._app: ASGIApp = Observed(guarded, self._metrics)

    def open(self, app: FastAPI) -> None:
        """Answer by the application, whose lifespan has begun."""
        self.services = app.state.services
        self._app = app

    def close(self) -> None:
        """Let what waits for news go."""
        if self.services is not None:
            self.services.closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def _wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            reply: Response = JSONResponse(Health().model_dump())
        elif scope["path"] == "/metrics":
            reply = Response(self._metrics.text(), media_type=MEDIA)
        else:
            # Not raised: the boundary would log each request.
            error = Unavailable(f"standby, owner is {self.holder}", retry_after=RETRY_AFTER_S)
            reply = response_of(error)
        await reply(scope, receive, send)


async def take_turn(
    url: str,
    open_it: Callable[[], Awaitable[None]],
    *,
    front: Front,
    ended: asyncio.Future[Any],
    say: Callable[[str], None],
) -> bool:
    """Wait until a database may be taken, and take it.

    Args:
        url: of the database.
        open_it: opens the application on it, in the front's place.
        front: tells the clients who owns the database meanwhile.
        ended: done when the server was told to stop.
        say: tells the operator.

    Returns:
        Whether the application is open, rather than the server's end come first.

    Raises:
        InvalidInput: the URL names no database we can use.
        SchemaMismatch: its tables are those of another version.
        Unavailable: it does not answer the first look.
    """
    with closing(await asyncio.to_thread(watch, url)) as beside:
        while not ended.done():
            try:
                holder = await asyncio.to_thread(beside.look)
                if holder is None:
                    await open_it()
                    return True
            except Unavailable as exc:
                holder = exc.extra.get("holder", f"not known: {exc.detail}")
            if holder != front.holder:
                front.holder = holder
                say(f"standby, owner is {holder}")
            await asyncio.wait([ended], timeout=POLL_S)
    return False
