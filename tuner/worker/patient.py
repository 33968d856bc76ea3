"""Requests of a worker, sent again until the server answers.

Guarantees: what goes wrong raises a `TunerError`; a request is sent again only after a failure to
reach the server or an answer that says that nothing was stored.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from tuner.client.address import is_loopback, tls_context
from tuner.client.retry import Patience
from tuner.errors import KeyInFlight, ServerUnreachable, TooMany, TunerError, Unavailable
from tuner.problems import raise_for_problem, retry_after
from tuner.worker.link import Link
from tuner.worker.outside import pieces, save

FOREVER = float("inf")
_AWAY = (ServerUnreachable, TooMany, Unavailable, KeyInFlight)

R = TypeVar("R", bound=BaseModel)


class Fetched(NamedTuple):
    """The hash of the file that came, or where it is."""

    sha256: str = ""
    elsewhere: str = ""


class PatientHttp:
    """Asks one server, as long as it takes.

    Args:
        link: is told of every answer and every failure.
        ca: file of the authority that signed the server's certificate.
        request_timeout: seconds until an unanswered request counts as failed.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        link: Link,
        *,
        request_timeout: float,
        ca: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._link = link
        self.timeout = request_timeout
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/api/v1",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(request_timeout, connect=min(request_timeout, 5.0)),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            transport=transport,
            verify=tls_context(ca),
            trust_env=not is_loopback(url),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def fetch(self, url: str, path: Path, params: Mapping[str, str]) -> Fetched:
        """Save what is at `url` as a file."""
        tries = 0
        while True:
            tries += 1
            try:
                async with self._http.stream("GET", url, params=params) as response:
                    if response.is_redirect:
                        return Fetched(elsewhere=response.headers["Location"])
                    if not response.is_success:
                        await response.aread()
                    raise_for_problem(response)
                    return Fetched(sha256=await save(response, path))
            except httpx.TransportError as exc:
                await self._pause(_unreachable(exc), tries)
            except _AWAY as exc:
                await self._pause(exc, tries)

    async def post(
        self,
        reply: type[R],
        path: str,
        body: BaseModel,
        *,
        headers: Mapping[str, str] | None = None,
        wait: float = 0.0,
        patience: float = FOREVER,
        method: str = "POST",
    ) -> R:
        """Send a message; return the answer to it."""
        response = await self.send(
            method,
            path,
            headers={"Content-Type": "application/json", **(headers or {})},
            content=body.model_dump_json().encode(),
            timeout=self.timeout + wait,
            patience=patience,
        )
        try:
            return reply.model_validate_json(response.content)
        except ValidationError as exc:
            raise TunerError(f"the answer to {path} is not one of tuner's") from exc

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        file: Path | None = None,
        timeout: float | None = None,
        patience: float = FOREVER,
    ) -> httpx.Response:
        """Send a request, with a body or a file's content; given up after `patience` seconds."""
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                response = await self._http.request(
                    method,
                    path,
                    params=params,
                    headers=headers,
                    content=content if file is None else pieces(file),
                    timeout=httpx.Timeout(timeout or self.timeout, connect=min(self.timeout, 5.0)),
                )
                raise_for_problem(response)
            except httpx.TransportError as exc:
                problem: TunerError = _unreachable(exc)
                problem.__cause__ = exc
            except _AWAY as exc:
                problem = exc
            except TunerError:
                self._link.answered()
                raise
            else:
                self._link.answered()
                return response
            await self._pause(problem, tries, patience - (time.monotonic() - began))

    async def _pause(self, problem: TunerError, tries: int, left: float = FOREVER) -> None:
        if isinstance(problem, ServerUnreachable | Unavailable):
            self._link.failed(problem)
        wait = Patience(total=left).pause(
            tries=tries, elapsed=0.0, jitter=random.random(), asked=retry_after(problem)
        )
        if wait is None:
            raise problem
        if isinstance(problem, ServerUnreachable):
            await self._link.pause(wait)
        else:
            await asyncio.sleep(wait)


def _unreachable(exc: httpx.TransportError) -> ServerUnreachable:
    why = "timed out" if isinstance(exc, httpx.TimeoutException) else str(exc) or repr(exc)
    return ServerUnreachable(why)
