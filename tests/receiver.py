"""A receiver of webhooks on loopback: keeps what it got, answers as it is told."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "webhooks.md"


@dataclass(frozen=True, kw_only=True)
class Got:
    """A request that came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        """The message."""
        return json.loads(self.body)

    @property
    def seq(self) -> int:
        """The event's number."""
        seq: int = self.message["data"]["event"]["seq"]
        return seq


@dataclass(kw_only=True)
class Receiver:
    """What came, and what is answered: `answers` one after the other, then 200."""

    port: int
    got: list[Got] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Return its URL under a host's name."""
        return f"{scheme}://{host}:{self.port}/hook?a=1"

    @property
    def types(self) -> list[str]:
        """The types of the messages that came."""
        return [got.message["type"] for got in self.got]


@contextlib.contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # the sender is gone
            found.got.append(
                Got(headers={k.lower(): v for k, v in self.headers.items()}, body=body)
            )
            found.before_answer()
            status, headers, answer = found.answers.pop(0) if found.answers else (200, {}, b"ok")
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found = Receiver(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def documented_verify() -> Callable[..., None]:
    """Return the function that docs/webhooks.md tells receivers to use."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    verify: Callable[..., None] = names["verify"]
    return verify
