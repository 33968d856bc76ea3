"""Event streams and who may hear them: projects kept apart, roles, and ends of what they need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import external, problem
from tests.serving import ServerProcess
from tuner.client import Client
from tuner.client.live import Frame, frames

PATIENCE_S = 60.0


def made(server: ServerProcess, role: str, **more: Any) -> str:
    """Make a token and return its secret."""
    body = {"name": f"a-{role}", "role": role} | more
    return str(server.call("POST", "/tokens", body)["secret"])


@contextmanager
def heard(server: ServerProcess, path: str, **headers: str) -> Iterator[httpx.Response]:
    """Open a stream and give its response."""
    asked = {"Accept": "text/event-stream", **headers}
    with (
        httpx.Client(trust_env=False, timeout=PATIENCE_S) as http,
        http.stream("GET", f"{server.url}/api/v1{path}", headers=asked) as response,
    ):
        yield response


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def until_over(found: Iterator[Frame]) -> list[Frame]:
    """Read until a study is told to be cancelled."""
    seen: list[Frame] = []
    for frame in found:
        seen.append(frame)
        if frame.kind == "study" and json.loads(frame.data)["state"] == "cancelled":
            return seen
    pytest.fail("the stream ended")


def move(server: ServerProcess, study: str) -> None:
    """Let everything happen to a study that is told."""
    server.call("PATCH", f"/studies/{study}", {"state": "paused"})
    server.call("PATCH", f"/studies/{study}", {"state": "running"})
    (lease,) = server.call("POST", f"/studies/{study}/ask", {})["leases"]
    report = {"lease": lease["lease"], "attempt": 1, "step": 1, "value": 0.5}
    server.call("POST", "/reports", {"reports": [report]})
    server.call("POST", f"/leases/{lease['lease']}/finish", {"attempt": 1})
    server.call("PATCH", f"/studies/{study}", {"state": "cancelled"})


def test_a_project_hears_of_its_studies_only(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        for name in ("blue", "red"):
            server.call("POST", "/studies", external(name, queue={"project": name}))
        red = bearer(made(server, "viewer", project="red"))
        with heard(server, "/events", **red) as live:
            now = frames(live.iter_lines())
            assert next(now).kind == "hello"
            for name in ("blue", "red"):
                move(server, name)
            told = until_over(now)
        server.call("DELETE", "/studies/blue")
        with heard(server, "/events?after=0", **red) as resumed:
            told += until_over(frames(resumed.iter_lines()))
        assert {f.kind for f in told} == {"event", "report", "trial", "study"}
        assert {json.loads(f.data).get("study_id", 2) for f in told} == {2}
        assert "blue" not in "".join(f.data for f in told)
        page = httpx.get(f"{server.url}/api/v1/events?limit=1000", headers=red).json()
        assert {e["study_id"] for e in page["items"]} == {2}


def test_a_stream_is_for_who_may_read(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", external("blue", queue={"project": "blue"}))
        worker, other = made(server, "worker"), made(server, "viewer", project="red")
        for path in ("/events", "/studies/blue/events", "/studies/1/events"):
            for headers, status, slug in (
                ({}, 401, "not-authenticated"),
                (bearer("tnr_wrong"), 401, "not-authenticated"),
                (bearer(worker), 403, "not-allowed"),
                (bearer(other), 404, "not-found"),
            ):
                if (path, status) == ("/events", 404):
                    continue
                with heard(server, path, **headers) as response:
                    response.read()
                    problem(response, status, slug)


def test_no_text_breaks_a_line(tmp_path: Path) -> None:
    odd = "".join(map(chr, [0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1E, 0x85, 0x2028, 0x2029])) + "\u00e9"
    with ServerProcess(tmp_path) as server, Client(server.url, server.token) as client:
        server.call("POST", "/studies", external("a"))
        (lease,) = server.call("POST", "/studies/a/ask", {})["leases"]
        said = {"attempt": 1, "outcome": "failed", "error": f"a{odd}b", "retry": False}
        server.call("POST", f"/leases/{lease['lease']}/finish", said)
        ended = next(e for e in client.events("a", after=0) if e.kind == "ended")
        assert ended.data["error"] == f"a{odd}b"


@pytest.mark.parametrize("end", ["revoke", "expire", "log out"])
def test_a_stream_ends_with_what_it_was_opened_with(tmp_path: Path, end: str) -> None:
    with ServerProcess(tmp_path, "--stream-heartbeat", "0.1") as server:
        server.call("POST", "/studies", external("a"))
        secret = made(server, "viewer", expires_s=2 if end == "expire" else 3600)
        headers, session = bearer(secret), {}
        if end == "log out":
            reply = httpx.post(f"{server.url}/session", json={"token": secret})
            headers = {"Cookie": reply.headers["set-cookie"].partition(";")[0]}
            session = headers | {"X-CSRF-Token": reply.json()["csrf"]}
        with heard(server, "/studies/a/events", **headers) as response:
            lines = response.iter_lines()
            assert next(frames(lines)).kind == "hello"
            if end == "revoke":
                server.call("DELETE", "/tokens/a-viewer")
            elif end == "log out":
                assert httpx.delete(f"{server.url}/session", headers=session).status_code == 204
            assert set(lines) <= {": ", ""}
        with heard(server, "/studies/a/events", **headers) as again:
            assert again.status_code == 401
