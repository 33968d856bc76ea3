"""The application called as it is, for tests that call it some hundred thousand times.

httpx's client and transport cost as much as the application's own work. What httpx is for (URLs,
redirects, cookies, streams) is not there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp

from tests.api.in_process import URL

_HOST = urlsplit(URL)


@dataclass(frozen=True)
class Reply:
    """What tests ask of a reply."""

    status_code: int
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


def lean_client(app: ASGIApp, token: str) -> httpx.AsyncClient:
    """Return what tests use of a client."""
    return cast(httpx.AsyncClient, _LeanClient(app, token))


class _LeanClient:
    """Sends JSON to an application with a token, in its own loop."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._headers = [
            (b"host", _HOST.netloc.encode()),
            (b"authorization", f"Bearer {token}".encode()),
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, path: str) -> Reply:
        return await self._call("GET", path)

    async def post(
        self, path: str, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return await self._call("POST", path, json, headers)

    async def patch(self, path: str, json: Any = None) -> Reply:
        return await self._call("PATCH", path, json)

    async def _call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        sent = b"" if body is None else json.dumps(body).encode()
        more = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
        if sent:
            more += [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(sent)).encode()),
            ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [*self._headers, *more],
            "client": ("127.0.0.1", 1),
            "server": (_HOST.hostname, _HOST.port),
        }
        unread, answered = [sent], asyncio.Event()
        status, content = 0, bytearray()

        async def receive() -> dict[str, Any]:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    answered.set()

        await self._app(scope, receive, send)
        return Reply(status, bytes(content))
