"""An overloaded front of a server: turns requests away with a `Retry-After`, and keeps books."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

import httpx

from tuner.errors import TooMany, Unavailable

_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding", "date", "server"})


class Pause(NamedTuple):
    """The seconds between a request's refusal, its how manieth, and its return."""

    seconds: float
    refusals: int
    what: str


class Gateway:
    """Passes requests on to a server, or refuses them by chance, half with 429, half with 503.

    A request is known by its method, path, key and body: when it was refused and comes again, the
    pause between is noted in `pauses`.

    Args:
        after: the whole seconds a refusal tells the client to wait.
    """

    def __init__(self, target: str, *, chance: float, after: int, seed: int = 5) -> None:
        self.pauses: list[Pause] = []
        self.refused = 0
        self._after = after
        self._chance = chance
        self._random = random.Random(seed)
        self._since: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()
        self._server = httpx.Client(base_url=target, trust_env=False, timeout=60.0)
        gateway = self

        class Handler(_Handler):
            front = gateway

        class Http(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._http = Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._server.close()

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Refuse a request or pass it on."""
        now, known = time.monotonic(), _identity(request)
        with self._lock:
            since, refusals = self._since.pop(known, (now, 0))
            if refusals:
                what = f"{request.method} {request.url.path}"
                self.pauses.append(Pause(now - since, refusals, what))
            if self._random.random() < self._chance:
                self.refused += 1
                self._since[known] = (time.monotonic(), refusals + 1)
                return self._refusal(self._random.choice((TooMany, Unavailable)))
        return self._server.send(request)

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        """Return a request for the server."""
        return self._server.build_request(method, path, headers=headers, content=body)

    def _refusal(self, kind: type[TooMany | Unavailable]) -> httpx.Response:
        problem = {
            "type": f"urn:tuner:problem/{kind.slug}", "title": kind.title, "status": kind.status,
            "detail": "too much to do",
        }  # fmt: skip
        headers = {
            "Content-Type": "application/problem+json", "Retry-After": str(self._after),
        }  # fmt: skip
        return httpx.Response(kind.status, headers=headers, content=json.dumps(problem).encode())


def _identity(request: httpx.Request) -> str:
    key = request.headers.get("idempotency-key", "")
    body = hashlib.sha256(request.read()).hexdigest()
    return f"{request.method} {request.url} {key} {body}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    front: Gateway

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        try:
            reply = self.front.answer(self.front.request(self.command, self.path, headers, body))
        except httpx.TransportError:
            self.close_connection = True
            return
        kept = {k: v for k, v in reply.headers.items() if k.lower() not in _HOP}
        head = "".join(f"{key}: {value}\r\n" for key, value in kept.items())
        size = "" if reply.status_code == 204 else f"Content-Length: {len(reply.content)}\r\n"
        start = f"HTTP/1.1 {reply.status_code} X\r\n"
        try:
            self.wfile.write(f"{start}{head}{size}\r\n".encode() + reply.content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
