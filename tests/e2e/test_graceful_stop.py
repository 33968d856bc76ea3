"""A server told to stop answers what is under way, stores it, and ends with 0."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import external
from tests.serving import TOKEN, ServerProcess

LONG_S = 60.0


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def _half_sent(server: ServerProcess, body: bytes) -> Iterator[socket.socket]:
    """Give a connection on which a study's first bytes were sent, and are being read."""
    port = int(server.url.rpartition(":")[2])
    head = (
        f"POST /api/v1/studies HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=LONG_S) as connection:
        connection.sendall(head.encode())
        # Sent once the application reads the body: the request is under way.
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(body[:10])
        yield connection


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_request_half_sent_is_answered_and_stored(tmp_path: Path, sig: signal.Signals) -> None:
    body = json.dumps(external()).encode()
    with ServerProcess(tmp_path) as server:
        with _half_sent(server, body) as connection:
            port = connection.getpeername()[1]
            server.send(sig)
            deadline = time.monotonic() + LONG_S
            while not _refused(port):
                assert time.monotonic() < deadline
            connection.sendall(body[10:])
            reply = b""
            while chunk := connection.recv(65536):
                reply += chunk
        assert reply.startswith(b"HTTP/1.1 201"), reply
        assert b"connection: close" in reply.lower()
        assert server.wait() == 0
        assert "Traceback" not in server.log
        server.start()
        assert server.call("GET", "/studies/loop")["name"] == "loop"


def test_a_request_that_never_ends_does_not_hold_the_server(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, _half_sent(server, b" " * 100):
        assert server.stop() == 0
