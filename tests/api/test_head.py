"""HEAD answers as GET does, without a body."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import external
from tests.serving import TOKEN, ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("server")
    with ServerProcess(folder, "--streams-each", "1") as process:
        process.call("POST", "/studies", external())
        yield process


def asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    token: str = TOKEN,
    accept: str = "*/*",
) -> tuple[int, dict[str, str], bytes]:
    headers = {"Authorization": f"Bearer {token}", "Accept": accept}
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()


@pytest.fixture
def connection(server: ServerProcess) -> Iterator[http.client.HTTPConnection]:
    found = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    yield found
    found.close()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/studies",
        "/api/v1/studies/loop",
        "/api/v1/studies/none",
        "/healthz",
        "/login",
        "/login.css",
        "/nothing",
    ],
)
def test_the_head_is_the_same(connection: http.client.HTTPConnection, path: str) -> None:
    status, headers, body = asked(connection, "GET", path)
    found, head, nothing = asked(connection, "HEAD", path)
    assert (found, nothing) == (status, b"")
    assert len(body) == int(headers["content-length"])
    assert head["content-type"] == headers["content-type"]
    if status < 400:
        assert head["content-length"] == headers["content-length"]


def test_it_needs_what_get_needs(connection: http.client.HTTPConnection) -> None:
    assert asked(connection, "HEAD", "/api/v1/studies", "wrong")[0] == 401


def test_a_stream_of_events_ends_with_its_head(connection: http.client.HTTPConnection) -> None:
    for _ in range(3):
        status = 429  # while the one before, of the one that may be open, goes
        while status == 429:
            status, headers, body = asked(
                connection, "HEAD", "/api/v1/events", accept="text/event-stream"
            )
        assert (status, body) == (200, b"")
        assert headers["content-type"].startswith("text/event-stream")


def test_what_takes_no_get_takes_no_head(connection: http.client.HTTPConnection) -> None:
    status, headers, _ = asked(connection, "HEAD", "/api/v1/reports")
    assert (status, headers["allow"]) == (405, "POST")
    assert asked(connection, "PUT", "/api/v1/studies")[1]["allow"] == "GET, HEAD, POST"
