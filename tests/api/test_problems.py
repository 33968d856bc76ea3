"""Every bad input is answered by a problem document that says what is wrong, and never by a 500."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api import problems
from api.app import create_app
from api.body import StrictBody
from api.routes import ROUTERS
from api.settings import Settings
from tests.api.conftest import Api, external, problem
from tests.api.in_process import API
from tests.api.nasty import NASTY, NASTY_YAML
from tuner import errors
from tuner.errors import Fault, InvalidInput, TooMany, TunerError, Unavailable

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "problems.md"


def posts() -> Iterator[tuple[str, str]]:
    """Yield each route that reads a JSON body."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and any(
                isinstance(d.call, StrictBody) for d in route.dependant.dependencies
            ):
                for method in route.methods or ():
                    yield (
                        method,
                        re.sub(r"\{study\}", "loop", re.sub(r"\{lease\}", "l" * 30, route.path)),
                    )


async def test_no_body_breaks_a_route(api: Api) -> None:
    await api.post("/studies", external())
    tried = 0
    for method, path in posts():
        for name, body in NASTY.items():
            headers = {"Content-Type": "application/json"}
            response = await api.http.request(method, API + path, content=body, headers=headers)
            assert response.status_code < 500, (method, path, name, response.text)
            if not response.is_success:
                assert response.headers["content-type"] == problems.MEDIA
                assert len(response.content) < 50_000, (path, name)
            tried += 1
    assert tried >= 10 * len(NASTY)
    assert (await api.get("/studies/loop"))["name"] == "loop"


@pytest.mark.parametrize("name", NASTY_YAML)
async def test_no_yaml_breaks_a_submission(api: Api, name: str) -> None:
    headers = {"Content-Type": "application/yaml"}
    response = await api.http.post(f"{API}/studies", content=NASTY_YAML[name], headers=headers)
    assert response.status_code in (400, 422), (name, response.text)
    assert response.headers["content-type"] == problems.MEDIA


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1000000000", "limit=-1", "limit=x", "limit=1e2", "limit=",
        "cursor=..", "cursor=-1", "cursor=abc", "cursor=%00", "cursor=" + "9" * 99,
        "state=nothing", "state=' OR 1=1 --", "project=" + "x" * 101,
        "limt=5", "limit=5&limit=6", "x=%ff", "=", "sort=name; DROP TABLE x",
    ],
)  # fmt: skip
async def test_bad_queries_are_refused(api: Api, query: str) -> None:
    body = problem(await api.http.get(f"{API}/studies?{query}"), 422, "invalid-input")
    assert body["faults"]


async def test_unknown_parameters_come_with_the_nearest_known(api: Api) -> None:
    body = await api.refused(422, "invalid-input", "GET", "/studies?limt=5")
    assert body["detail"] == "query.limt: unknown parameter; did you mean 'limit'?"
    body = await api.refused(422, "invalid-input", "POST", "/tokens?limit=5")
    assert "takes none" in body["detail"]


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "2147483648", "9" * 400, "%00"])
async def test_bad_trial_numbers_are_refused(api: Api, number: str) -> None:
    await api.post("/studies", external())
    await api.refused(422, "invalid-input", "GET", f"/studies/loop/trials/{number}")


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
        "application/yaml",
    ],
)
async def test_wrong_content_types_are_refused(api: Api, media: str) -> None:
    headers = {"Content-Type": media}
    path = f"{API}/workers"
    problem(await api.http.post(path, content=b"{}", headers=headers), 415, "unsupported-media")


async def test_compressed_bodies_are_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await api.http.post(f"{API}/studies", content=b"x", headers=headers)
    problem(response, 415, "unsupported-media")
    headers = {"Content-Type": "application/json; charset=latin-1"}
    response = await api.http.post(f"{API}/studies", content=b"{}", headers=headers)
    problem(response, 415, "unsupported-media")


async def test_large_bodies_are_refused_while_they_stream(api: Api) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 100_000
            yield b" " * 100_000

    headers = {"Content-Type": "application/json"}
    response = await api.http.post(f"{API}/studies", content=endless(), headers=headers)
    problem(response, 413, "too-large")
    announced = headers | {"Content-Length": "50000000"}
    response = await api.http.post(f"{API}/studies", content=b"{}", headers=announced)
    problem(response, 413, "too-large")


async def test_unknown_paths_and_methods(api: Api) -> None:
    await api.refused(404, "not-found", "GET", "/nothing")
    await api.refused(404, "not-found", "GET", "/studies/")
    response = await api.http.delete(f"{API}/studies")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD, POST"


async def test_replies_are_neither_guessed_at_nor_kept(api: Api) -> None:
    for path in ("/healthz", "/nothing", f"{API}/studies"):
        headers = (await api.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


async def test_markup_is_stored_as_text(api: Api) -> None:
    name = "<img src=x onerror=alert(1)>"
    study = await api.post("/studies", external(name))
    reply = await api.http.get(f"{API}/studies/{study['id']}")
    assert reply.json()["name"] == name
    assert reply.headers["content-type"] == "application/json"


async def test_a_client_that_leaves_in_mid_body_is_no_error(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []
    messages = iter(
        [
            {"type": "http.request", "body": b'{"objective"', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = {
        "host": "localhost",
        "authorization": f"Bearer {settings.admin_token}",
        "content-type": "application/json",
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{API}/studies",
        "raw_path": b"",
        "query_string": b"",
        "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert sent == []
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_websockets_are_closed(settings: Settings) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": f"{API}/studies", "query_string": b"", "headers": []}
    await create_app(settings)(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_unexpected_errors_tell_nothing(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise RuntimeError("secret /etc/path")

    object.__setattr__(api.services, "clock", broken)
    with caplog.at_level(logging.ERROR):
        response = await api.http.post(f"{API}/studies", json=external())
    body = problem(response, 500, "error")
    assert "secret" not in response.text
    assert "log" in body["detail"]
    assert any("secret" in str(r.exc_info) for r in caplog.records)


def test_every_error_has_a_document() -> None:
    for slug, kind in errors.BY_SLUG.items():
        found = problems.problem_of(kind("what happened"))
        assert found.type == f"/problems/{slug}"
        assert (found.status, found.title) == (kind.status, kind.title)


def test_faults_and_extras_are_members() -> None:
    error = InvalidInput("two faults", [Fault(where="a.b", message="is wrong")], limit=3)
    found = problems.problem_of(error)
    assert found.faults == [{"where": "a.b", "message": "is wrong"}]
    assert found.extra == {"limit": 3}


@pytest.mark.parametrize(
    ("error", "after"),
    [(TooMany("x", retry_after=3), "3"), (Unavailable("x", retry_after=0.2), "1")],
)
def test_retry_after_is_a_header(error: TunerError, after: str) -> None:
    assert problems.response_of(error).headers["retry-after"] == after


def test_half_a_surrogate_pair_can_be_quoted() -> None:
    response = problems.response_of(InvalidInput("half: \ud800"))
    assert json.loads(bytes(response.body))["detail"] == "half: \ud800"


def test_every_slug_has_a_section_in_the_docs() -> None:
    sections = re.findall(r"^## `([a-z-]+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(sections) == sorted(errors.BY_SLUG)
    text = PAGE.read_text(encoding="utf-8")
    for slug, kind in errors.BY_SLUG.items():
        section = text.split(f"## `{slug}`\n")[1].split("\n## ")[0]
        assert f"Status {kind.status}." in section, slug
