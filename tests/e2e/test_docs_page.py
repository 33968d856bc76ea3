"""The interactive page in a real browser that reaches nothing but the server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from api.pages import FILES, FOLDER
from tests.e2e.browser import opened
from tests.serving import ROOT, TOKEN, ServerProcess

LIST = "#operations-studies-list_studies"
CREATE = "#operations-access-create_token"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


@pytest.fixture
def page() -> Iterator[Page]:
    with opened() as page:
        yield page


@pytest.mark.browser
def test_the_page_shows_operations_and_sends_one(server: ServerProcess, page: Page) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.url}/docs")
    page.fill("#token", "wrong")
    page.click("#entry button")
    expect(page.locator("#notice")).to_contain_text("the token is not known here")
    page.fill("#token", TOKEN)
    page.click("#entry button")
    operations = page.locator(".opblock")
    expect(operations.first).to_be_visible()
    schema = server_schema(server)
    assert operations.count() == sum(len(found) for found in schema["paths"].values())
    page.click(f"{LIST} .opblock-summary-control")
    page.click(f"{LIST} .try-out__btn")
    page.click(f"{LIST} .execute")
    reply = page.locator(f"{LIST} .live-responses-table")
    expect(reply).to_contain_text('"items": []')
    assert TOKEN not in page.content()
    assert any(url.startswith(f"{server.url}/api/v1/studies?") for url in asked)
    assert [url for url in asked if not url.startswith((server.url, "data:"))] == []
    # Two looks at the description without a valid token; nothing breaks the page's policy.
    assert [text for text in complaints if "401" not in text] == []


@pytest.mark.browser
def test_who_is_logged_in_may_write(server: ServerProcess, page: Page) -> None:
    page.goto(f"{server.url}/login?next=/docs")
    page.fill("#token", TOKEN)
    page.click("button")
    page.click(f"{CREATE} .opblock-summary-control")
    page.click(f"{CREATE} .try-out__btn")
    page.fill(f"{CREATE} textarea", '{"name": "from-the-page", "role": "viewer"}')
    page.click(f"{CREATE} .execute")
    reply = page.locator(f"{CREATE} .live-responses-table")
    expect(reply).to_contain_text('"created_by": "admin"')


def server_schema(server: ServerProcess) -> dict[str, dict[str, dict[str, object]]]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    reply = httpx.get(f"{server.url}/openapi.json", headers=headers, trust_env=False)
    found: dict[str, dict[str, dict[str, object]]] = reply.json()
    return found


def test_the_page_may_run_its_own_scripts_only(server: ServerProcess) -> None:
    for path in FILES:
        reply = httpx.get(f"{server.url}{path}", trust_env=False)
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
    html = (FOLDER / "docs.html").read_text()
    assert re.findall(r"<script(?! src=\"docs/)|<style|\son\w+=|\sstyle=|https?:", html) == []


def test_what_was_taken_over_is_unchanged_and_licensed() -> None:
    told = (ROOT / "docs" / "dependencies.md").read_text()
    folder = FOLDER / "swagger-ui"
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() in told
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert (folder / "NOTICE").exists()
