"""Requests to receivers, each to an address that was judged for it.

The name is resolved here, every address it has is judged, and the connection is made to one of
these: nothing resolves the name again. TLS is checked against the name. No proxy is used, no
redirect is followed, no connection is used twice.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from api.webhooks.address import Ip, Target, address_of, check_address, target_of
from tuner.errors import InvalidInput

Resolver = Callable[[str, int], Awaitable[Sequence[Ip]]]

CONNECT_S = 5.0
SILENCE_S = 10.0
TOTAL_S = 20.0
MOST_BODY = 4096
"""Bytes of an answer that are read."""
_MOST_ADDRESSES = 4
_REASON = 300


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one request. `status` is None where no answer came; `error` then says why.

    `retry_after` are the seconds the receiver asked for.
    """

    took_ms: int
    status: int | None = None
    error: str = ""
    body: str = ""
    retry_after: float | None = None


class Network:
    """The way out to receivers.

    Args:
        allowed_hosts: names and addresses that may be private, exactly as they stand in URLs.
        resolve: gives a name's addresses.
        tls: what certificates are trusted; those of the system's own list by default.
    """

    def __init__(
        self,
        allowed_hosts: Collection[str] = (),
        *,
        resolve: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        self.allowed_hosts = frozenset(allowed_hosts)
        self.resolve = resolve or system_addresses
        self._tls = tls
        self._total_s = total_s

    async def check(self, url: str) -> None:
        """Judge a URL and the addresses it leads to now.

        Raises:
            InvalidInput: it is never told anything, or its name has no address.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._addresses(target_of(url, self.allowed_hosts))
        except TimeoutError as exc:
            raise InvalidInput("the URL's name could not be resolved in time") from exc

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return what became of it."""
        began = time.monotonic()

        def answer(**found: Any) -> Answer:
            return Answer(took_ms=round(1000 * (time.monotonic() - began)), **found)

        try:
            async with asyncio.timeout(self._total_s):
                return answer(**await self._send(url, headers, body))
        except InvalidInput as exc:
            return answer(error=f"refused: {exc.detail}"[:_REASON])
        except (TimeoutError, httpcore.TimeoutException):
            return answer(error="no answer in time")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ssl.SSLError) as exc:
            return answer(error=(str(exc) or type(exc).__name__)[:_REASON])

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        target = target_of(url, self.allowed_hosts)
        backend = _Pinned(await self._addresses(target))
        trusted = await self._trusted(target)
        where = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        given = [("Host", target.authority), *headers.items(), ("Content-Length", str(len(body)))]
        seconds = {"connect": CONNECT_S, "read": SILENCE_S, "write": SILENCE_S, "pool": CONNECT_S}
        async with (
            httpcore.AsyncConnectionPool(ssl_context=trusted, network_backend=backend) as pool,
            pool.stream(
                "POST", where, headers=given, content=body, extensions={"timeout": seconds}
            ) as response,
        ):
            found = {name.lower(): value for name, value in response.headers}
            return {
                "status": response.status,
                "body": await _beginning(response),
                "retry_after": seconds_of(found.get(b"retry-after", b"").decode("latin-1")),
            }

    async def _trusted(self, target: Target) -> ssl.SSLContext | None:
        if target.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        return self._tls

    async def _addresses(self, target: Target) -> Sequence[Ip]:
        literal = address_of(target.host)
        try:
            found = [literal] if literal else await self.resolve(target.host, target.port)
        except OSError as exc:
            raise InvalidInput(f"the name {target.host} can't be resolved") from exc
        for ip in found:
            check_address(target, ip)
        if not found:
            raise InvalidInput(f"the name {target.host} has no address")
        return found[:_MOST_ADDRESSES]


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were judged, whatever name it is given."""

    def __init__(self, addresses: Sequence[Ip]) -> None:
        self._addresses = addresses
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers."""
        *others, last = self._addresses
        for ip in others:
            try:
                return await self._backend.connect_tcp(str(ip), port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._backend.connect_tcp(
            str(last), port, timeout, local_address, socket_options
        )


async def system_addresses(host: str, port: int) -> Sequence[Ip]:
    """Return a name's addresses as this machine resolves it. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = (address_of(str(place[0])) for *_, place in found)
    return list(dict.fromkeys(ip for ip in addresses if ip is not None))


async def _beginning(response: httpcore.Response) -> str:
    body = b""
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) >= MOST_BODY:
            break
    text = body[:MOST_BODY].decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def seconds_of(header: str, now: float | None = None) -> float | None:
    """Return the seconds that a Retry-After asks for, None if it asks for none."""
    if header.isascii() and header.isdecimal():
        return float(header[:10])
    try:
        at = parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, at - (time.time() if now is None else now))
