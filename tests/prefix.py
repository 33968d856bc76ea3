"""A reverse proxy that serves a server below a path, as nginx with `location /tuner/` does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PREFIX = "/tuner"
_OWN = ("connection", "transfer-encoding", "content-length")


@contextmanager
def below_a_path(target: str) -> Iterator[str]:
    """Give the address, without a slash at its end, under which `target` is served."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix(PREFIX)
            with (
                httpx.Client(trust_env=False, timeout=None) as client,
                client.stream(
                    self.command, target + path, headers=dict(self.headers), content=body
                ) as reply,
            ):
                self.send_response(reply.status_code)
                for name, value in reply.headers.multi_items():
                    if name.lower() not in _OWN:
                        self.send_header(name, value)
                self.end_headers()
                for piece in reply.iter_raw():
                    self.wfile.write(piece)
                    self.wfile.flush()

        do_GET = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A browser that leaves is none."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        finally:
            server.shutdown()
            thread.join()
