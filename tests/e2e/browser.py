"""A real browser that reaches nothing but this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from tests.serving import TOKEN, ServerProcess

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def launched() -> Iterator[Browser]:
    """Give a browser without a page."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found is not None, "run `make chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def opened() -> Iterator[Page]:
    """Give an empty page."""
    with launched() as browser:
        yield browser.new_page(viewport={"width": 1400, "height": 900})


def log_in(page: Page, server: ServerProcess, target: str = "", token: str = TOKEN) -> None:
    """Open a page of the dashboard through the log-in page."""
    page.goto(f"{server.url}/{target}")
    page.wait_for_url("**/login?next=*")
    page.fill("#token", token)
    page.click("button")
    page.wait_for_url(f"{server.url}/{target}")
