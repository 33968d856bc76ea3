"""Browsers' sessions outlive the server's restart, and whatever ends them before or meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from api.credentials import digest_of
from api.sessions import Kept, Sessions, proof_of
from api.settings import Settings, WorkerToken
from storage.changes import StoredSession
from tests.api.in_process import API, TOKEN, URL, in_process, settings_in
from tests.contract.ledger_database import sql
from tuner.access import ADMIN_NAME, BUILT_IN_ADMIN, WORKER_NAME, Identity

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORKERS = "a-token-for-workers"


@asynccontextmanager
async def serving(
    settings: Settings, cookies: httpx.Cookies | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Run a server; yield an admin's client and a browser with these cookies."""
    async with (
        in_process(settings) as (admin, _),
        httpx.AsyncClient(base_url=URL, transport=admin._transport, cookies=cookies) as browser,
    ):
        yield admin, browser


async def log_in(browser: httpx.AsyncClient, token: str) -> str:
    reply = await browser.post("/session", json={"token": token})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["csrf"])


async def new_token(admin: httpx.AsyncClient, role: str = "submitter") -> str:
    reply = await admin.post(f"{API}/tokens", json={"name": "ann", "role": role})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["secret"])


async def seen_by(browser: httpx.AsyncClient) -> tuple[int, str, str]:
    """Return the status of asking whose session it is, whose, and its csrf."""
    reply = await browser.get("/session")
    found = reply.json()
    return reply.status_code, found.get("name", ""), found.get("csrf", "")


@pytest.mark.parametrize("who", ["ann", ADMIN_NAME, WORKER_NAME])
async def test_a_restart_keeps_sessions(tmp_path: Path, who: str) -> None:
    """An open page goes on, its csrf token included, as often as the server restarts."""
    worker = WorkerToken(digest=digest_of(WORKERS), project="vision")
    settings = settings_in(tmp_path, worker_token=worker)
    async with serving(settings) as (admin, browser):
        built_in = {ADMIN_NAME: TOKEN, WORKER_NAME: WORKERS}
        csrf = await log_in(browser, built_in.get(who) or await new_token(admin))
        shown = await seen_by(browser)
        assert shown == (200, who, csrf)
    for _ in range(2):
        async with serving(settings, browser.cookies) as (_, again):
            assert await seen_by(again) == shown
            refused = await again.delete("/session")
            assert refused.status_code == 403
    async with serving(settings, browser.cookies) as (_, again):
        gone = await again.delete("/session", headers={"X-CSRF-Token": csrf})
        assert gone.status_code == 204
    async with serving(settings, browser.cookies) as (_, again):
        assert (await seen_by(again))[0] == 401


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_revoked_token_ends_its_sessions(tmp_path: Path, when: str) -> None:
    settings = settings_in(tmp_path)
    async with serving(settings) as (admin, browser):
        await log_in(browser, await new_token(admin))
        if when == "before":
            assert (await admin.delete(f"{API}/tokens/ann")).status_code == 200
    async with serving(settings, browser.cookies) as (admin, again):
        if when == "after":
            assert (await admin.delete(f"{API}/tokens/ann")).status_code == 200
        assert (await seen_by(again))[0] == 401


async def test_another_admin_token_ends_the_admins_sessions(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with serving(settings) as (_, browser):
        await log_in(browser, TOKEN)
    other = replace(settings, admin_token="another-token-for-tests")
    async with serving(other, browser.cookies) as (_, again):
        assert (await seen_by(again))[0] == 401


async def test_a_log_in_ends_the_session_from_before_the_restart(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with serving(settings) as (_, browser):
        await log_in(browser, TOKEN)
        former = httpx.Cookies(browser.cookies)
    async with serving(settings, former) as (_, again):
        await log_in(again, TOKEN)
    for cookies, status in ((former, 401), (again.cookies, 200)):
        async with serving(settings, httpx.Cookies(cookies)) as (_, third):
            assert (await seen_by(third))[0] == status


async def test_what_is_stored_lets_nobody_in(tmp_path: Path) -> None:
    """Neither the cookie's secret nor anything of the admin's token is among it."""
    settings = settings_in(tmp_path)
    async with serving(settings) as (_, browser):
        await log_in(browser, TOKEN)
    (secret,) = browser.cookies.values()
    with sql(settings.db_url) as engine, engine.connect() as connection:
        (row,) = connection.execute(text("SELECT key, digest, proof FROM tuner_sessions"))
    assert tuple(row) == (digest_of(secret), None, proof_of(secret, digest_of(TOKEN)))
    assert not {secret, TOKEN, digest_of(TOKEN)} & set(row)


def admin(_: Kept) -> Identity:
    return BUILT_IN_ADMIN


@pytest.mark.parametrize(
    ("left", "later", "live"),
    [
        (1000.0, 9.9, True),  # used within ten seconds of the restart
        (1000.0, 10.0, False),  # unused for as long as a session may be
        (5.0, 4.9, True),
        (5.0, 5.0, False),  # as old as it may get
        (1e9, 9.9, True),  # the time of day was set back: no longer than any session
    ],
)
def test_a_kept_session_ends_by_time(left: float, later: float, live: bool) -> None:
    now = 0.0
    sessions = Sessions(monotonic=lambda: now, idle_s=10, most_s=25)
    ends_at = NOW + timedelta(seconds=left)
    stored = StoredSession(key=digest_of("cookie"), digest=None, proof="", at=NOW, ends_at=ends_at)
    sessions.restore([stored], NOW)
    assert sessions.resume("unknown", admin) is None
    now = later
    found = sessions.resume("cookie", admin)
    assert (found is not None) is live
    assert found is None or found.ends_at <= 25
    assert sessions.resume("cookie", admin) is None
