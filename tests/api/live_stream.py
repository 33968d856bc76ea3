"""What the tests of event streams share: a stream of a real server, and what it should tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.serving import TOKEN, ServerProcess
from tuner.client import Client
from tuner.client.live import Frame, frames

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
PATIENCE_S = 60.0


def until(what: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def stream(server: ServerProcess, path: str = "/events", **headers: str) -> Iterator[Any]:
    """Open a stream and give its response."""
    with (
        httpx.Client(trust_env=False, timeout=30.0) as http,
        http.stream("GET", f"{server.url}/api/v1{path}", headers=HEADERS | headers) as response,
    ):
        yield response


def told(response: httpx.Response, kind: str, most: int) -> list[Frame]:
    """Read a stream until it has told so many messages of a kind."""
    found: list[Frame] = []
    for frame in frames(response.iter_lines()):
        if frame.kind == kind:
            found.append(frame)
        if len(found) == most:
            break
    return found


def stored(server: ServerProcess, study: str | None = None) -> list[int]:
    """Return the numbers of all stored events."""
    path = "/events" if study is None else f"/studies/{study}/events"
    return [e["seq"] for e in server.call("GET", f"{path}?limit=1000")["items"]]


def stored_all(server: ServerProcess, study: str | None = None) -> list[int]:
    """Return the numbers of all stored events, of any count."""
    with Client(server.url, server.token) as client:
        return [e.seq for e in client.past_events(study)]
