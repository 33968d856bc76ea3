"""Each request has an id, a line in the log and a count; no token gets into either."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from api.observe.logs import JsonLines, TextLines
from api.settings import Settings
from tests.api.conftest import Api, external, problem, train
from tests.api.in_process import API, TOKEN, in_process
from tests.serving import TOKEN as SERVED_TOKEN
from tests.serving import ServerProcess

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[TextLines, JsonLines])
def form(request: pytest.FixtureRequest) -> logging.Formatter:
    found: logging.Formatter = request.param()
    return found


@pytest.fixture
def log(form: logging.Formatter) -> Iterator[io.StringIO]:
    """Everything that is logged, at level debug."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    handler.setFormatter(form)
    handler.addFilter(lambda record: not record.name.startswith("httpx"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def json_log() -> Iterator[io.StringIO]:
    stream, logger = io.StringIO(), logging.getLogger("api")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


async def test_a_sane_request_id_is_kept(api: Api) -> None:
    reply = await api.http.get(f"{API}/studies", headers={"X-Request-ID": "from-a.proxy_1"})
    assert reply.headers.get_list("x-request-id") == ["from-a.proxy_1"]


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a\tb", "<script>", "é"])
async def test_any_other_request_id_is_replaced(api: Api, given: str) -> None:
    headers = [(b"X-Request-ID", given.encode("utf-8"))]
    found = [(await api.http.get(f"{API}/studies", headers=headers)) for _ in range(2)]
    ids = [reply.headers["x-request-id"] for reply in found]
    assert len({*ids, given}) == 3


@pytest.mark.parametrize("path", [f"{API}/studies/none", "/nothing", f"{API}/studies?limit=x"])
async def test_a_problem_names_its_request(api: Api, path: str) -> None:
    reply = await api.http.get(path, headers={"X-Request-ID": "r-1"})
    assert not reply.is_success
    assert reply.json()["instance"] == "urn:tuner:request:r-1"
    assert reply.headers["x-request-id"] == "r-1"


async def test_refusals_have_an_id_too(api: Api) -> None:
    bare = httpx.Request("GET", f"{api.http.base_url}{API}/studies")
    reply = await api.http.send(bare)
    body = problem(reply, 401, "not-authenticated")
    assert body["instance"].endswith(reply.headers["x-request-id"])


async def test_a_line_says_who_what_and_how_long(api: Api, json_log: io.StringIO) -> None:
    await api.post("/studies", external())
    await api.http.get(f"{API}/studies/loop", headers={"X-Request-ID": "r-2"})
    _, line = [json.loads(text) for text in json_log.getvalue().splitlines()]
    assert line.pop("time").endswith("Z")
    assert line.pop("ms") >= 0
    assert line == {
        "level": "info",
        "logger": "api.requests",
        "message": "request",
        "method": "GET",
        "route": "/api/v1/studies/{study}",
        "study": "loop",
        "status": 200,
        "user": "admin",
        "request_id": "r-2",
    }


async def test_what_comes_all_the_time_is_logged_at_debug_only(
    api: Api, json_log: io.StringIO
) -> None:
    await api.post("/heartbeats", {})
    await api.http.get("/readyz")
    assert json_log.getvalue() == ""
    await api.refused(422, "invalid-input", "POST", "/heartbeats", json={"x": 1})
    assert json.loads(json_log.getvalue())["status"] == 422


async def test_an_unexpected_error_is_told_to_the_log_alone(
    settings: Settings, json_log: io.StringIO
) -> None:
    def clock() -> datetime:
        raise ZeroDivisionError("a secret of the inside")

    async with in_process(settings, lambda services: replace(services, clock=clock)) as (http, _):
        headers = {"X-Request-ID": "r3"}
        reply = await http.post(f"{API}/studies", json=external(), headers=headers)
    assert reply.status_code == 500
    assert "Traceback" not in reply.text
    assert "secret" not in reply.text
    lines = [json.loads(text) for text in json_log.getvalue().splitlines()]
    (failed,) = [line for line in lines if "exception" in line]
    assert failed["request_id"] == "r3"
    assert "ZeroDivisionError: a secret of the inside" in failed["exception"]


async def test_no_token_gets_into_the_log(api: Api, log: io.StringIO) -> None:
    await api.post("/studies", external())
    lease = await train(api, "loop", [0.5, 0.4])
    held = await train(api, "loop", [0.5], finish=False)
    await api.post(f"/leases/{held['lease']}/release", {"attempt": 1})
    await api.http.get(f"{API}/studies?token={TOKEN}")
    await api.http.get(f"/nothing/{TOKEN}")
    await api.http.get(f"{API}/studies", headers={"Authorization": "Bearer another-token"})
    written = log.getvalue()
    assert "/api/v1/leases/{lease}/finish" in written
    for secret in (TOKEN, "another-token", lease["lease"], held["lease"]):
        assert secret not in written


async def test_what_a_client_sends_begins_no_line(log: io.StringIO, api: Api) -> None:
    await api.http.get(f"{API}/studies/x%0A2026-01-01T00:00:00Z%20forged%E2%80%A8forged")
    forged = [line for line in log.getvalue().splitlines() if line.startswith("2026-01-01")]
    assert forged == []
    assert "forged" in log.getvalue()


@pytest.mark.parametrize("form", [TextLines], indirect=True)
async def test_what_a_client_sends_makes_no_field(log: io.StringIO, api: Api) -> None:
    await api.http.get(f"{API}/studies/x%20status=200%20user=root")
    (line,) = [line for line in log.getvalue().splitlines() if "root" in line]
    assert " status=404 " in line
    assert '"x status=200 user=root"' in line


@pytest.mark.parametrize("options", [("--log-format", "json"), ()])
def test_a_servers_log_has_no_token_and_one_form(tmp_path: Path, options: tuple[str, ...]) -> None:
    with ServerProcess(tmp_path, *options, "--log-level", "debug") as server:
        server.call("POST", "/studies", external())
        lease = server.call("POST", "/studies/loop/ask", {})["leases"][0]["lease"]
        server.call("POST", f"/leases/{lease}/finish", {"attempt": 1, "value": 1.0})
        httpx.get(f"{server.url}/metrics?token={SERVED_TOKEN}", trust_env=False)
        assert server.stop() == 0
        lines = server.log.splitlines()
    assert len(lines) > 6
    assert not [line for line in lines if SERVED_TOKEN in line or lease in line]
    if options:
        records = [json.loads(line) for line in lines if line.startswith("{")]
        assert len(records) == len(lines) - 3
        assert {"uvicorn.error", "api.requests"} <= {record["logger"] for record in records}


async def test_a_flood_of_wrong_tokens_writes_few_lines(api: Api, json_log: io.StringIO) -> None:
    bare = httpx.Request(
        "GET", f"{api.http.base_url}{API}/studies", headers={"Authorization": "Bearer wrong"}
    )
    for _ in range(200):
        assert (await api.http.send(bare)).status_code in (401, 429)
    lines = json_log.getvalue().count('"status"')
    assert 0 < lines < 100
    await api.http.get("/login")  # what is not refused is told of as ever
    assert json_log.getvalue().count('"status"') == lines + 1
