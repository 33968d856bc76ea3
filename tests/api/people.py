"""A running server and people with tokens of every role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from api.limits.settings import Limits
from tests.api.in_process import API, URL
from tests.api.node import Node, serve
from tuner.access import Role


async def token(node: Node, role: Role, name: str | None = None, **more: Any) -> str:
    """Make a token and return its secret."""
    body = {"name": name or f"a-{role}", "role": role.value, **more}
    reply = await node.post("/tokens", body)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["secret"])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def send(
    node: Node, method: str, path: str, headers: dict[str, str], **how: Any
) -> httpx.Response:
    """Send a request with these headers only."""
    transport = node.http._transport
    async with httpx.AsyncClient(base_url=URL, transport=transport) as http:
        return await http.request(method, path, headers=headers, **how)


async def as_who(
    node: Node, secret: str, method: str, path: str, body: Any = None
) -> httpx.Response:
    """Send a request under /api/v1 with a token."""
    return await send(node, method, API + path, bearer(secret), json=body)


@asynccontextmanager
async def peopled(folder: Path, **settings: Any) -> AsyncIterator[tuple[Node, dict[Role, str]]]:
    """Serve, and give the secret of a token of each role."""
    async with serve(folder, limits=Limits(wrong_tokens=100_000), **settings) as node:
        yield node, {role: await token(node, role) for role in Role}
