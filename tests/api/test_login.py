"""Browsers: the log-in page, sessions, their ends, and writes that other pages forge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.limits.settings import Limits
from api.login_page import safe_target
from api.sessions import Sessions
from api.throttle import Throttle
from tests.api.in_process import API, URL
from tests.api.node import Node, document, serve
from tests.api.people import bearer, token
from tuner.access import BUILT_IN_ADMIN, Role

pytestmark = pytest.mark.anyio
OWN = {"Origin": URL}


@asynccontextmanager
async def browser(node: Node, base: str = URL) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps cookies, and has no token."""
    async with httpx.AsyncClient(base_url=base, transport=node.http._transport) as http:
        yield http


async def log_in(http: httpx.AsyncClient, secret: str, **headers: str) -> httpx.Response:
    reply = await http.post("/session", json={"token": secret}, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply


async def test_pages_lead_to_the_log_in_and_programs_get_a_problem(tmp_path: Path) -> None:
    async with serve(tmp_path) as node, browser(node) as http:
        page = await http.get("/studies/1", headers={"Accept": "text/html,*/*"})
        assert page.status_code == 303
        assert page.headers["location"] == "../login?next=.%2Fstudies%2F1"
        shown = await http.get(page.headers["location"].removeprefix(".."))
        assert shown.status_code == 200
        assert 'value="./studies/1"' in shown.text
        assert "<script" not in shown.text
        policy = shown.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        style = await http.get("/login.css")
        assert style.headers["content-type"].startswith("text/css")
        program = await http.get(f"{API}/studies", headers={"Accept": "application/json"})
        assert program.status_code == 401


async def test_a_form_logs_in_without_a_script(tmp_path: Path) -> None:
    async with serve(tmp_path) as node, browser(node) as http:
        secret = await token(node, Role.VIEWER)
        fields = {"token": secret, "next": "/studies/1"}
        reply = await http.post("/session", data=fields, headers=OWN)
        assert (reply.status_code, reply.headers["location"]) == (303, "/studies/1")
        cookie = reply.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secure" not in cookie
        assert secret not in cookie
        assert (await http.get(f"{API}/studies")).status_code == 200


async def test_a_wrong_token_gets_the_page_again_without_an_echo(tmp_path: Path) -> None:
    async with serve(tmp_path) as node, browser(node) as http:
        fields = {"token": "<b>wrong", "next": '"><script>x</script>'}
        reply = await http.post("/session", data=fields, headers=OWN)
        assert reply.status_code == 401
        assert 'role="alert"' in reply.text
        assert "<b>" not in reply.text
        assert "<script" not in reply.text
        assert "set-cookie" not in reply.headers
        crossed = await http.post(
            "/session", data=fields, headers={"Origin": "https://evil.example"}
        )
        assert crossed.status_code == 403


async def test_writes_need_the_sessions_csrf_token(tmp_path: Path) -> None:
    async with serve(tmp_path) as node, browser(node) as http:
        csrf = (await log_in(http, await token(node, Role.SUBMITTER))).json()["csrf"]
        bad: list[dict[str, str]] = [
            {},
            {"X-CSRF-Token": "x"},
            {"X-CSRF-Token": csrf, "Origin": "https://evil.example"},
            {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"},
        ]
        for headers in bad:
            reply = await http.post(f"{API}/studies", json=document(), headers=headers)
            assert reply.status_code == 403, headers
        good = {"X-CSRF-Token": csrf, **OWN}
        assert (await http.post(f"{API}/studies", json=document(), headers=good)).status_code == 201
        shown = (await http.get("/session")).json()
        assert (shown["csrf"], shown["role"]) == (csrf, "submitter")


@pytest.mark.parametrize("way", ["delete", "form", "revoke"])
async def test_a_session_ends(tmp_path: Path, way: str) -> None:
    async with serve(tmp_path) as node, browser(node) as http:
        csrf = (await log_in(http, await token(node, Role.VIEWER, "eve"))).json()["csrf"]
        kept = dict(http.cookies)
        if way == "delete":
            assert (await http.delete("/session")).status_code == 403
            gone = await http.delete("/session", headers={"X-CSRF-Token": csrf})
            assert gone.status_code == 204
        elif way == "form":
            assert (await http.post("/logout")).status_code == 403
            assert (await http.post("/logout", headers=OWN)).headers["location"] == "login"
        else:
            assert (await node.http.delete(f"{API}/tokens/eve")).status_code == 200
        http.cookies.update(kept)
        assert (await http.get(f"{API}/studies")).status_code == 401


def test_sessions_end_by_time() -> None:
    now = 0.0
    sessions = Sessions(monotonic=lambda: now, idle_s=10, most_s=25)
    secret, _ = sessions.start(BUILT_IN_ADMIN, None)
    for later in (9.0, 18.0, 24.9):
        now = later
        assert sessions.find(secret) is not None  # used within ten seconds, and not too old
    now = 25.0
    assert sessions.find(secret) is None  # as old as any may be
    other, session = sessions.start(BUILT_IN_ADMIN, None)
    now = 35.0
    assert not sessions.is_live(session)  # unused for ten seconds
    assert sessions.find(other) is None
    assert sessions.find("unknown") is None


@pytest.mark.parametrize(
    ("host", "headers", "secure"),
    [
        ("tuner.example", {}, True),
        ("tuner.example", {"X-Forwarded-Proto": "https"}, True),
        ("tuner.example", {"X-Forwarded-Proto": "http"}, False),
        ("127.0.0.1:8700", {}, False),
    ],
)
async def test_behind_a_proxy_the_cookie_is_bound_to_tls(
    tmp_path: Path, host: str, headers: dict[str, str], secure: bool
) -> None:
    chosen: dict[str, Any] = {"behind_proxy": True, "allowed_hosts": ("tuner.example",)}
    async with serve(tmp_path, **chosen) as node, browser(node, f"http://{host}") as http:
        cookie = (await log_in(http, await token(node, Role.VIEWER), **headers)).headers[
            "set-cookie"
        ]
        assert ("; Secure" in cookie) is secure
        assert cookie.startswith("__Host-") is secure


async def test_wrong_tokens_are_slowed_and_right_random_ones_pass(tmp_path: Path) -> None:
    async with serve(tmp_path, limits=Limits(wrong_tokens=3)) as node, browser(node) as http:
        right = await token(node, Role.VIEWER)
        codes = [
            (await http.get(f"{API}/studies", headers=bearer(f"wrong-{n}"))).status_code
            for n in range(5)
        ]
        assert codes == [401, 401, 401, 429, 429]
        slowed = await http.post("/session", json={"token": "wrong"})
        assert slowed.status_code == 429
        assert int(slowed.headers["retry-after"]) > 0
        assert (await http.get(f"{API}/studies", headers=bearer(right))).status_code == 200
        # The admin's token of these tests is short enough to be guessed.
        assert (await node.http.get(f"{API}/studies")).status_code == 429


def test_the_throttle_refills() -> None:
    now = 100.0
    throttle = Throttle(2, 6.0, lambda: now)
    for _ in range(2):
        assert throttle.wait("a") == 0
        throttle.fail("a")
    assert throttle.wait("a") == 6
    assert throttle.wait("b") == 0
    now = 106.0
    assert throttle.wait("a") == 0
    throttle.fail("a")
    assert throttle.wait("a") == 6


@pytest.mark.parametrize(
    ("given", "target"),
    [
        (None, "./"),
        ("/studies/1", "/studies/1"),
        ("./studies/1", "./studies/1"),
        (".//evil.example", "./"),
        ("../x", "./"),
        ("https://evil.example", "./"),
        ("//evil.example", "./"),
        ("/\\evil.example", "./"),
        ("/a\nb", "./"),
        ("javascript:x", "./"),
    ],
)
def test_the_log_in_leads_to_this_server_only(given: str | None, target: str) -> None:
    assert safe_target(given) == target
