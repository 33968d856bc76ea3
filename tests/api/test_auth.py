"""Nobody is answered without a token, from another host, or from another site's page."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.routing import BaseRoute

from api.app import create_app
from api.auth import HEALTH, OPEN, host_name
from api.pages import FILES
from api.routes import PUBLIC, ROUTERS
from api.settings import Settings, is_loopback
from tests.api.conftest import Api, problem
from tests.api.in_process import TOKEN
from tuner import home
from tuner.errors import InvalidInput, NotAuthenticated

pytestmark = pytest.mark.anyio

OTHERS = [
    "/",
    "/nothing",
    "/openapi.json",
    "/docs/",
    "/docs/docs.html",
    "/docs/LICENSE",
    "/docs/../openapi.json",
    "/redoc",
    "/api/v1",
    "/api/v1/nothing",
    "/healthz/",
]
BAD_TOKENS = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Basic {TOKEN}",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    TOKEN,
    "Bearer \xff\xfe",
]


def all_routes() -> Iterator[tuple[str, str]]:
    for prefix, routers in (("/api/v1", ROUTERS), ("", PUBLIC)):
        for router in routers:
            for route in router.routes:
                yield from ((m, prefix + p) for m, p in _of(route))
    yield from (("GET", path) for path in OTHERS)


def _of(route: BaseRoute) -> Iterator[tuple[str, str]]:
    path = str(getattr(route, "path", ""))
    for name in ("study", "number", "lease", "worker_id", "token"):
        path = path.replace(f"{{{name}}}", "1")
    for method in getattr(route, "methods", None) or ():
        yield method, path


async def test_every_route_wants_a_token(api: Api) -> None:
    seen = 0
    for method, path in all_routes():
        if (method, path) in OPEN:
            continue
        bare = httpx.Request(method, str(api.http.base_url) + path)
        response = await api.http.send(bare)
        problem(response, 401, "not-authenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")
        seen += 1
    assert seen > 25


async def test_only_health_the_log_in_and_the_page_are_open(api: Api) -> None:
    files = {("GET", path) for path in FILES}
    assert {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/"),
        ("GET", "/assets/{version}/{file:path}"),
        ("GET", "/login"),
        ("GET", "/login.css"),
        ("POST", "/session"),
        *files,
    } == OPEN
    for path in (*HEALTH, *FILES):
        response = await api.http.send(httpx.Request("GET", str(api.http.base_url) + path))
        assert response.status_code == 200
        if path not in FILES:
            assert response.json() == {"status": "ok"}


async def test_not_ready_while_stopping(api: Api) -> None:
    api.services.closing.set()
    response = await api.http.get("/readyz")
    problem(response, 503, "unavailable")
    assert response.headers["retry-after"]
    assert (await api.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("value", BAD_TOKENS)
async def test_wrong_tokens(api: Api, value: str) -> None:
    headers = {"Authorization": value.encode("latin-1")}
    response = await api.http.get("/api/v1/studies", headers=headers)  # type: ignore[arg-type]
    body = problem(response, 401, "not-authenticated")
    assert TOKEN not in str(body)


async def test_two_authorization_headers_are_refused(api: Api) -> None:
    twice = [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {TOKEN}")]
    request = httpx.Request("GET", str(api.http.base_url) + "/api/v1/studies", headers=twice)
    problem(await api.http.send(request), 401, "not-authenticated")


async def test_a_token_in_the_url_is_refused(api: Api) -> None:
    url = f"{api.http.base_url}/api/v1/studies?token={TOKEN}"
    body = problem(await api.http.send(httpx.Request("GET", url)), 401, "not-authenticated")
    assert "URL" in body["detail"]
    problem(await api.http.get(url), 422, "invalid-input")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8700", "127.0.0.1.evil.example", "", "localhost@evil", "a b"],
)
async def test_other_hosts_are_not_answered_on_loopback(api: Api, host: str) -> None:
    for path in ("/api/v1/studies", "/healthz"):
        problem(await api.http.get(path, headers={"Host": host}), 421, "wrong-host")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8700", "[::1]:8700", "[::1]"]
)
async def test_this_machine_is_answered(api: Api, host: str) -> None:
    assert (await api.http.get("/api/v1/studies", headers={"Host": host})).status_code == 200


async def test_allowed_hosts_behind_a_proxy(proxied: Api) -> None:
    for host, status in (("tuner.example", 200), ("127.0.0.1", 200), ("10.0.0.7", 421)):
        got = await proxied.http.get("/api/v1/studies", headers={"Host": host})
        assert got.status_code == status
    # Probes of a cluster come by address.
    assert (await proxied.http.get("/healthz", headers={"Host": "10.0.0.7"})).status_code == 200


async def test_any_host_can_be_allowed(settings: Settings) -> None:
    app = create_app(replace(settings, host="0.0.0.0", allowed_hosts=("*",)))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://any.example") as http:
        assert (await http.get("/api/v1/studies")).status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://127.0.0.1:9",
        "null",
        "http://127.0.0.1:8700.evil",
        "http://[",
        "x",
    ],
)
async def test_other_sites_pages_are_not_answered(api: Api, origin: str) -> None:
    response = await api.http.post("/api/v1/studies", json={}, headers={"Origin": origin})
    problem(response, 403, "not-allowed")


async def test_pages_of_allowed_hosts_are_answered(proxied: Api) -> None:
    for origin, status in (("https://tuner.example", 200), ("https://other.example", 403)):
        got = await proxied.http.get("/api/v1/studies", headers={"Origin": origin})
        assert got.status_code == status


async def test_own_pages_are_answered(api: Api) -> None:
    headers = {"Origin": "http://127.0.0.1:8700"}
    assert (await api.http.get("/api/v1/studies", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Example.org:80", "example.org"),
        ("[::1]:9", "::1"),
        ("a:b", None),
        ("[::1", None),
        ("a/b", None),
        ("", None),
    ],
)
def test_host_name(header: str, name: str | None) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_is_loopback(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


def test_token_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "deep" / "home"))
    monkeypatch.delenv("TUNER_ADMIN_TOKEN", raising=False)
    token, fresh = home.make_token()
    assert fresh
    assert len(token) >= 40
    assert stat.S_IMODE(home.token_file().stat().st_mode) == 0o600
    assert [p.name for p in home.folder().iterdir()] == ["admin-token"]
    assert home.make_token() == (token, False)
    assert home.read_admin_token() == token


def test_token_from_the_environment_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_HOME", str(tmp_path))
    monkeypatch.setenv("TUNER_ADMIN_TOKEN", "chosen-by-me")
    assert home.make_token() == ("chosen-by-me", False)
    assert list(tmp_path.iterdir()) == []
    for bad in ("short", "with some spaces", "naïve-token-here", "new\nline-token"):
        monkeypatch.setenv("TUNER_ADMIN_TOKEN", bad)
        with pytest.raises(InvalidInput, match="at least 8"):
            home.make_token()


def test_an_unreadable_token_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_HOME", str(tmp_path))
    monkeypatch.delenv("TUNER_ADMIN_TOKEN", raising=False)
    home.token_file().mkdir()
    with pytest.raises(NotAuthenticated, match="can't be read"):
        home.make_token()
