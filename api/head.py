"""HEAD, wherever GET is taken: the same answer without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware that lets routes see a HEAD request as GET and sends the head alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def head(message: Message) -> None:
            # The server must know by now that no body belongs to the announced length.
            scope["method"] = "HEAD"
            if message["type"] == "http.response.start":
                await send(message)
                # What would go on for ever, as a stream of events does, sees its client leave.
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, head)
        finally:
            scope["method"] = "HEAD"
