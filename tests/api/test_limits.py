"""Limits of a real server: what is too slow, too large, too many, and what is answered."""

from __future__ import annotations

import inspect
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.limits.rate import Bucket
from api.limits.settings import KINDS, Limits
from api.settings import Settings
from storage.ledger import MOST_WAITING
from tests.api.conftest import external
from tests.serving import ROOT, TOKEN, ServerProcess
from tuner.cli.database import serve
from tuner.client import Client

BEARER = f"Authorization: Bearer {TOKEN}\r\n"
WAIT_S = 60.0


def connected(server: ServerProcess) -> socket.socket:
    """Return a connection to a server."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=WAIT_S)


def host_of(server: ServerProcess) -> str:
    """Return the server's Host header."""
    return f"Host: {server.url.removeprefix('http://')}\r\n"


def everything(asked: socket.socket) -> bytes:
    """Read until the server closes."""
    data = b""
    try:
        while chunk := asked.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


@contextmanager
def served(folder: Path, *options: str) -> Iterator[ServerProcess]:
    """Serve with options."""
    with ServerProcess(folder, *options) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", b"GE", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_half_a_head_is_closed_and_others_are_served(tmp_path: Path, sent: bytes) -> None:
    with served(tmp_path, "--header-timeout", "0.5") as server:
        with closing(connected(server)) as slow:
            slow.sendall(sent)
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            reply = everything(slow)
        assert reply.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"request-timeout" in reply
        counted = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert 'tuner_refusals_total{kind="heads"} 1.0' in counted.text


def test_a_head_that_trickles_is_closed_although_bytes_come(tmp_path: Path) -> None:
    with served(tmp_path, "--header-timeout", "0.5") as server:
        with closing(connected(server)) as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\n")
            with suppress(ConnectionError):
                for _ in range(10_000):
                    slow.sendall(b"X")
                    time.sleep(0.02)
                pytest.fail("the server goes on reading")
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_second_request_on_a_connection_has_the_same_time(tmp_path: Path) -> None:
    with served(tmp_path, "--header-timeout", "0.5") as server:
        with closing(connected(server)) as slow:
            whole = f"GET /healthz HTTP/1.1\r\n{host_of(server)}\r\n".encode()
            slow.sendall(whole + b"GET /hea")
            reply = everything(slow)
        assert reply.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 408" in reply


def test_a_body_that_pauses_is_cut_off(tmp_path: Path) -> None:
    with served(tmp_path, "--idle-timeout", "0.5") as server:
        with closing(connected(server)) as slow:
            head = f"POST /api/v1/studies HTTP/1.1\r\n{host_of(server)}{BEARER}"
            head += "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            slow.sendall(head.encode())
            assert b"200 OK" not in everything(slow)
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_an_idle_connection_is_kept_longer_than_a_head_may_take(tmp_path: Path) -> None:
    options = ("--header-timeout", "0.3", "--idle-timeout", "0.3")
    with served(tmp_path, *options) as server, closing(connected(server)) as kept:
        for _ in range(3):
            kept.sendall(f"GET /healthz HTTP/1.1\r\n{host_of(server)}\r\n".encode())
            reply = b""
            while not reply.endswith(b"}"):
                reply += kept.recv(65536)
            assert reply.startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.8)  # the pause between two reports


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_large_head_is_refused(tmp_path: Path, pieces: int) -> None:
    with served(tmp_path) as server:
        with closing(connected(server)) as asked:
            lines = "".join(f"X-{n}: {'x' * (40_000 // pieces)}\r\n" for n in range(pieces))
            asked.sendall(f"GET /healthz HTTP/1.1\r\n{host_of(server)}{lines}\r\n".encode())
            reply = everything(asked)
        assert reply.startswith(b"HTTP/1.1 431 ")
        assert b"application/problem+json" in reply


def test_a_chunked_body_is_refused_once_it_is_too_large(tmp_path: Path) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    with served(tmp_path) as server:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            reply = httpx.post(f"{server.url}/api/v1/studies", content=body(), headers=headers)
        except httpx.TransportError:
            return  # the server closed while we sent
        assert reply.status_code == 413


def test_too_many_connections_are_told_to_come_again(tmp_path: Path) -> None:
    with served(tmp_path, "--connections", "2") as server:
        with (
            closing(connected(server)),
            closing(connected(server)),
            closing(connected(server)) as c,
        ):
            reply = everything(c)
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 2" in reply


def test_a_token_that_asks_too_fast_is_refused_and_the_client_goes_on(tmp_path: Path) -> None:
    with served(tmp_path, "--rate-limit", "1") as server:
        url, headers = f"{server.url}/api/v1/studies", {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(headers=headers, trust_env=False) as http:
            replies = [http.get(url) for _ in range(60)]
        assert {r.status_code for r in replies} == {200, 429}
        assert "ratelimit" in replies[0].headers
        refused = next(r for r in replies if r.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit-policy"] == '"token";q=5;w=5'
        assert refused.json()["type"] == "/problems/too-many"
        with Client(server.url, server.token) as client:
            assert [list(client.studies()) for _ in range(4)] == [[]] * 4
        beat: dict[str, Any] = {"worker_id": None, "leases": []}
        for _ in range(60):
            server.call("POST", "/heartbeats", beat)


def test_long_polls_have_places(tmp_path: Path) -> None:
    with served(tmp_path, "--polls-each", "1") as server:
        server.call("POST", "/studies", external("a", budget={"trials": 1, "steps": 5}))
        server.call("POST", "/studies/a/ask", {})
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{server.url}/api/v1/studies/a/ask"

        def poll(wait_s: float) -> httpx.Response:
            return httpx.post(url, json={"wait_s": wait_s}, headers=headers, timeout=30.0)

        def hold() -> None:
            while poll(20.0).status_code == 429:
                pass

        waiting = threading.Thread(target=hold)
        waiting.start()
        while (reply := poll(0.05)).status_code != 429:
            assert waiting.is_alive()
        assert reply.headers["retry-after"] == "2"
        assert server.call("POST", "/studies/a/ask", {})["leases"] == []
        server.call("PATCH", "/studies/a", {"state": "cancelled"})  # which ends the poll
        waiting.join()


def test_buckets_fill_again() -> None:
    bucket = Bucket(rate=2.0, burst=4.0, level=4.0, at=0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]
    assert bucket.take(0.5) == 0.0
    assert not bucket.is_full(2.0)
    assert bucket.is_full(2.5)


def test_the_page_names_every_default() -> None:
    text = (ROOT / "docs" / "limits.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    limits, settings = Limits(), Settings(db_url="", artifact_dir=ROOT, admin_token="")
    for row, *values in (
        ("body of a request, JSON or YAML", settings.max_body),
        ("body of a checkpoint", settings.max_checkpoint),
        ("body of an artifact", limits.max_artifact),
        ("artifacts of a trial", limits.artifacts_each),
        ("head of a request", limits.max_header),
        ("time for a request's head", limits.header_s),
        ("time for a TLS handshake", limits.header_s),
        ("pause of a body on its way", limits.idle_s),
        ("idle connection", settings.keep_alive_s),
        ("open connections", limits.connections),
        ("requests a second of a token", limits.rate, limits.rate_burst),
        ("the same, of an address where no token is needed", limits.rate, limits.rate_burst),
        ("the same, routes of the worker protocol", limits.worker_rate, limits.worker_burst),
        ("long polls at once, in all", limits.polls),
        ("long polls at once of a token", limits.polls_each),
        ("event streams at once, in all", limits.streams),
        ("event streams at once of a token", limits.streams_each),
        ("wrong tokens of an address", limits.wrong_tokens, limits.wrong_token_s),
        ("silence of an event stream", limits.stream_heartbeat_s),
        ("bytes waiting for a listener", limits.stream_queue),
        ("kept of what an attempt prints", limits.log_bytes),
        ("commands waiting to be stored", MOST_WAITING),
    ):
        default = rows.pop(row).split("|")[2]
        found = [int(n) for n in re.findall(r"[0-9]+", default)]
        assert found == [int(v) for v in values], row
    assert set(rows) == {"limit", "kind", *(f"`{kind}`" for kind in KINDS)}


def test_the_options_have_the_settings_defaults() -> None:
    options, limits = inspect.signature(serve).parameters, Limits()
    for option, value in (
        ("rate_limit", limits.rate),
        ("worker_rate_limit", limits.worker_rate),
        ("header_timeout", limits.header_s),
        ("idle_timeout", limits.idle_s),
        ("connections", limits.connections),
        ("polls", limits.polls),
        ("polls_each", limits.polls_each),
        ("streams", limits.streams),
        ("streams_each", limits.streams_each),
        ("wrong_tokens", limits.wrong_tokens),
        ("stream_heartbeat", limits.stream_heartbeat_s),
        ("stream_queue", limits.stream_queue),
        ("log_bytes", limits.log_bytes),
    ):
        assert options[option].default == value, option
    assert (limits.rate_burst, limits.worker_burst) == (5 * limits.rate, 4 * limits.worker_rate)
