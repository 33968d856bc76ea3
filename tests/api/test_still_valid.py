"""What a stream asks again and again: whether what it was opened with still holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from api.access import still_valid
from api.auth import Guard
from api.credentials import digest_of
from tests.api.in_process import API
from tests.api.node import Clock, Node, serve
from tests.api.people import token
from tuner.access import Role

pytestmark = pytest.mark.anyio


async def let_in(node: Node, *headers: tuple[bytes, bytes]) -> Scope:
    """Return the scope of a request that the guard let through."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def never(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent here")

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{API}/studies",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1:8700"), *headers],
        "app": SimpleNamespace(state=SimpleNamespace(services=node.services)),
    }
    await Guard(app, node.services.settings)(scope, never, never)
    return seen[0]


@pytest.mark.parametrize("end", ["revoke", "expire"])
async def test_a_token_holds_until_it_is_revoked_or_expires(tmp_path: Path, end: str) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        secret = await token(node, Role.VIEWER, "eve", expires_s=60)
        scope = await let_in(node, (b"authorization", f"Bearer {secret}".encode()))
        assert scope["state"]["identity"].name == scope["state"]["user"] == "eve"
        assert still_valid(scope)
        if end == "revoke":
            await node.http.delete(f"{API}/tokens/eve")
        else:
            clock.seconds += 60
        assert not still_valid(scope)


@pytest.mark.parametrize("end", ["revoke", "log out"])
async def test_a_session_holds_until_it_or_its_token_ends(tmp_path: Path, end: str) -> None:
    async with serve(tmp_path) as node:
        digest = digest_of(await token(node, Role.VIEWER, "eve"))
        services = node.services
        found = services.ledger.memory.token(digest)
        assert found is not None
        reply = await let_in(node, (b"authorization", b"Bearer " + b"a-token-for-tests"))
        secret, session = services.sessions.start(reply["state"]["identity"], digest)
        scope = await let_in(node, (b"cookie", f"tuner_session={secret}".encode()))
        assert still_valid(scope)
        if end == "revoke":
            await node.http.delete(f"{API}/tokens/eve")
        else:
            services.sessions.end(session)
        assert not still_valid(scope)


def test_a_request_the_guard_did_not_see_is_not_valid() -> None:
    assert not still_valid({"type": "http"})
