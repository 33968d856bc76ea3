"""Connections whose request is answered before its body has come: they end, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from api.limits.protocol import protocol
from api.limits.settings import Limits

pytestmark = pytest.mark.anyio
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
SAFETY_S = 30.0
NO = PlainTextResponse("no", 401)
SHORT = Limits(idle_s=0.2, header_s=5.0)


@asynccontextmanager
async def connected(
    limits: Limits, keep_alive_s: float, app: ASGIApp = NO
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a server that answers at once and reads no body."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    config.load()
    config.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]
    made, state = protocol(limits, lambda _: None), ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: made(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def answered(reader: asyncio.StreamReader) -> None:
    assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("sizes", [(5,), (5, 0), (0, 5)])
async def test_an_idle_one_is_closed_although_its_body_came_late(sizes: tuple[int, ...]) -> None:
    async with asyncio.timeout(SAFETY_S), connected(SHORT, 0.3) as (reader, writer):
        for size in sizes:
            writer.write(HEAD % size)
            await answered(reader)
            writer.write(b"x" * size)
        assert await reader.read() == b""


async def test_one_whose_body_trickles_on_is_closed() -> None:
    async with asyncio.timeout(SAFETY_S), connected(SHORT, 60.0) as (reader, writer):
        writer.write(HEAD % 1_000_000)
        await answered(reader)
        ended = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            while not ended.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
            assert ended.result() == b""


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"


async def test_what_comes_behind_a_body_is_no_header() -> None:
    seen: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(name for name, _ in scope["headers"])
        await NO(scope, receive, send)

    async with asyncio.timeout(SAFETY_S), connected(Limits(), 60.0, app) as (reader, writer):
        writer.write(CHUNKED + b"0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: y\r\n\r\n")
        await answered(reader)
        assert seen == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("piece", [b"X-N: y\r\n", b"z", b";ext"])
async def test_what_is_beside_a_body_has_an_end(piece: bytes) -> None:
    begin = {b"z": b"0\r\nX: ", b";ext": b"1"}.get(piece, b"0\r\n")
    async with asyncio.timeout(SAFETY_S), connected(Limits(), 60.0) as (reader, writer):
        writer.write(CHUNKED + begin)
        await answered(reader)
        ended = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            while not ended.done():
                writer.write(piece * 1000)
                await writer.drain()
                await asyncio.sleep(0)
            await ended


async def test_a_late_body_is_followed_by_a_further_request() -> None:
    async with asyncio.timeout(SAFETY_S), connected(Limits(), 60.0) as (reader, writer):
        for _ in range(3):
            writer.write(HEAD % 4)
            await answered(reader)
            writer.write(b"body")
