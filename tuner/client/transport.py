"""Requests to a server: time-outs, retries, and errors as the project's own."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from tuner.client.address import checked, is_loopback, tls_context
from tuner.client.retry import Patience
from tuner.errors import (
    InvalidInput,
    KeyInFlight,
    NotFound,
    ServerUnreachable,
    TooMany,
    TunerError,
    Unavailable,
)
from tuner.problems import raise_for_problem, retry_after

PREFIX = "/api/v1"
CONNECT_S = 5.0
_FILE_S = 60.0
_PIECE = 1 << 20

R = TypeVar("R", bound=BaseModel)


class Transport:
    """One server, as requests and replies. Safe for threads.

    Guarantees: every request has a time-out; a request is sent again only if that is harmless (GET,
    PATCH, a POST that carries an Idempotency-Key or is idempotent by design); whatever goes wrong
    raises a `TunerError`.

    Args:
        url: where the server is, with any path prefix before `/api/v1`.
        token: sent as a bearer token if not None.
        timeout_s: seconds a request may take, waiting the server was asked for excepted.
        patience: how long to try again.
        ca: file of the authorities (PEM) that the server's certificate is checked against;
            `TUNER_CA`, or the system's, by default.
        transport: replaces the network (tests).
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout_s: float = 10.0,
        patience: Patience | None = None,
        ca: str | Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = checked(url)
        self.patience = patience if patience is not None else Patience()
        self.ca = ca
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=self.url + PREFIX,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=self._timeout(timeout_s),
            transport=transport,
            verify=tls_context(ca),
            trust_env=not is_loopback(self.url),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def get(
        self, reply: type[R], path: str, *, patience: Patience | None = None, **query: Any
    ) -> R:
        """GET `path` with the query's values that are not None."""
        return self._read(reply, self.send("GET", path, query=query, patience=patience))

    def post(
        self,
        reply: type[R],
        path: str,
        body: BaseModel | Mapping[str, Any],
        *,
        keyed: bool = True,
        wait_s: float = 0.0,
        patience: Patience | None = None,
        if_match: str | None = None,
        **query: Any,
    ) -> R:
        """POST `body`; with `keyed` under an Idempotency-Key of its own, else idempotent by design.

        `wait_s` are the seconds the server was asked to wait; the time-out is longer by these.
        `if_match` is the version that what is changed must still have, without quotes.
        """
        headers = _once_if(if_match) if keyed else {}
        got = self.send(
            "POST", path, body=body, headers=headers, wait_s=wait_s, patience=patience, query=query
        )
        return self._read(reply, got)

    def post_once(self, reply: type[R], path: str, body: BaseModel | Mapping[str, Any]) -> R:
        """POST `body`, never again: its answer is stored nowhere that a repetition could read."""
        got = self.send("POST", path, body=body, patience=Patience(total=0.0))
        return self._read(reply, got)

    def put(
        self, reply: type[R], path: str, body: BaseModel, *, patience: Patience | None = None
    ) -> R:
        """PUT `body`, which is idempotent."""
        return self._read(reply, self.send("PUT", path, body=body, patience=patience))

    def patch(
        self, reply: type[R], path: str, body: BaseModel, *, if_match: str | None = None
    ) -> R:
        """PATCH with `body` under an Idempotency-Key of its own; see `post` for `if_match`."""
        headers = _once_if(if_match)
        return self._read(reply, self.send("PATCH", path, body=body, headers=headers))

    def delete(self, reply: type[R], path: str, *, if_match: str | None = None) -> R:
        """DELETE under an Idempotency-Key of its own; see `post` for `if_match`."""
        headers = _once_if(if_match)
        return self._read(reply, self.send("DELETE", path, headers=headers))

    def fetch(self, path: str, *, wait_s: float = 0.0, **query: Any) -> Iterator[bytes]:
        """GET something large, piece by piece. It is asked for once: a break is an error.

        `wait_s` are the seconds the server may take before it begins, beside the time-out.
        """
        with self.stream(path, wait_s=wait_s, **query) as response:
            yield from response.iter_bytes()

    @contextmanager
    def stream(self, path: str, *, wait_s: float = 0.0, **query: Any) -> Iterator[httpx.Response]:
        """GET something large, once; a redirect is handed out as it is."""
        params = {k: v for k, v in query.items() if v is not None}
        timeout = self._timeout(self._timeout_s + wait_s)
        try:
            with self._http.stream("GET", path, params=params, timeout=timeout) as response:
                if not response.is_redirect:
                    if not response.is_success:
                        response.read()
                    raise_for_problem(response)
                yield response
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from exc

    def send_file(
        self,
        method: str,
        path: str,
        file: Path,
        headers: Mapping[str, str],
        query: Mapping[str, Any],
    ) -> httpx.Response:
        """Send a file, streamed, in a request that is idempotent, until it is answered."""

        def request() -> httpx.Request:
            return self._http.build_request(
                method,
                path,
                content=_pieces(file),
                headers=dict(headers),
                params=dict(query),
                timeout=self._timeout(max(self._timeout_s, _FILE_S)),
            )

        return self._persist(request, self.patience)

    def lines(
        self, path: str, *, headers: Mapping[str, str], quiet_s: float
    ) -> Generator[str, None, None]:
        """GET an event stream, line by line until it ends.

        A silence of `quiet_s` seconds, or a break, raises ServerUnreachable.
        """
        asked = {"Accept": "text/event-stream", **headers}
        timeout = httpx.Timeout(quiet_s, connect=min(self._timeout_s, CONNECT_S))
        try:
            with self._http.stream("GET", path, headers=asked, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                raise_for_problem(response)
                if "event-stream" not in response.headers.get("content-type", ""):
                    raise NotFound(f"{self.url} has no event stream at {path}")
                yield from response.iter_lines()
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from exc

    def pages(self, page: type[Any], path: str, **query: Any) -> Iterator[Any]:
        """Iterate over the items of all pages, each page fetched when it is reached."""
        cursor: str | None = None
        while True:
            got = self.get(page, path, **{**query, "cursor": cursor})
            yield from got.items
            cursor = got.next_cursor
            if cursor is None:
                return

    def send(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
        patience: Patience | None = None,
    ) -> httpx.Response:
        """Send one idempotent request until it is answered or patience ends.

        Raises:
            TunerError: what the server answered, or `ServerUnreachable`.
        """
        if body is not None:
            headers = {**(headers or {}), "Content-Type": "application/json"}
            content = _json(body)
        request = self._http.build_request(
            method,
            path,
            content=content,
            headers=headers,
            params={k: v for k, v in (query or {}).items() if v is not None},
            timeout=self._timeout(self._timeout_s + wait_s),
        )
        return self._persist(lambda: request, patience or self.patience)

    def _persist(self, request: Callable[[], httpx.Request], patience: Patience) -> httpx.Response:
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                return self._once(request())
            except TunerError as exc:
                wait = None
                if worth_retrying(exc):
                    wait = patience.pause(
                        tries=tries,
                        elapsed=time.monotonic() - began,
                        jitter=random.random(),
                        asked=retry_after(exc),
                    )
                if wait is None:
                    raise
            time.sleep(wait)

    def _once(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.TransportError as exc:
            raise self._unreachable(exc) from exc
        raise_for_problem(response)
        return response

    def _unreachable(self, exc: httpx.TransportError) -> ServerUnreachable:
        why = "timed out" if isinstance(exc, httpx.TimeoutException) else str(exc) or repr(exc)
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return ServerUnreachable(
                f"{self.url} shows a certificate that is not trusted here; name the file of the "
                "authority that signed it by --ca or TUNER_CA"
            )
        hint = "start one with `tuner serve`" if is_loopback(self.url) else "is TUNER_URL right?"
        return ServerUnreachable(f"no answer from {self.url} ({why}); {hint}")

    def _read(self, reply: type[R], response: httpx.Response) -> R:
        try:
            return reply.model_validate_json(response.content)
        except ValidationError as exc:
            message = f"the answer of {self.url} is not one of tuner's: is it another service?"
            raise TunerError(message) from exc

    def _timeout(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=min(seconds, CONNECT_S))


def _once_if(version: str | None) -> dict[str, str]:
    """Return the headers of a request that is done once, and only if the version holds."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    return headers if version is None else {**headers, "If-Match": f'"{version}"'}


def _json(body: BaseModel | Mapping[str, Any]) -> bytes:
    if isinstance(body, BaseModel):
        return body.model_dump_json().encode()
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise InvalidInput(f"the document can't be written as JSON: {exc}") from exc


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece


def worth_retrying(problem: TunerError) -> bool:
    """Tell whether a request that ended so may be answered if it is sent again."""
    return isinstance(problem, ServerUnreachable | TooMany | Unavailable | KeyInFlight)
