"""What the dashboard says of its freshness, in a real browser, as servers stop, hang, return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.browser import log_in, opened
from tests.e2e.test_dashboard import STUDY
from tests.serving import TOKEN, ServerProcess
from tuner import Client

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", STUDY)
        yield server


@pytest.fixture
def page() -> Iterator[Page]:
    with opened() as page:
        yield page


def freshness(page: Page) -> Locator:
    return page.get_by_role("status")


def test_a_page_that_is_stale_says_so_and_recovers(server: ServerProcess, page: Page) -> None:
    log_in(page, server, "?study=watched")
    expect(freshness(page)).to_have_text("live")
    server.kill()
    expect(freshness(page)).to_contain_text("stale: last heard")
    expect(page.get_by_role("heading", name="watched")).to_be_visible()
    page.evaluate("window.neverLeft = true")
    server.start()
    expect(freshness(page)).to_have_text("live", timeout=60_000)
    with Client(server.url, TOKEN) as client, client.ask("watched") as trial:
        trial.report(6, 0.5)
    expect(page.get_by_label("Decisions", exact=True)).to_contain_text("complete at step 6")
    assert page.evaluate("window.neverLeft")


def polled(page: Page, server: ServerProcess, most: int) -> list[Route]:
    """Open a study whose stream opens while a poll is on its way; hold the first readings back."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if len(held) < most:
            held.append(route)
        else:
            route.continue_()

    page.route("**/watched/events", lambda route: route.continue_() if held else route.abort())
    log_in(page, server, "?study=watched")
    page.get_by_role("heading", name="watched").wait_for()
    page.route("**/watched/findings*", hold)
    expect(freshness(page)).to_have_text("live", timeout=60_000)
    return held


def answered(page: Page, held: list[Route]) -> None:
    """Let readings go on, and the page draw what they bring."""
    for reading in held:
        with page.expect_event("requestfinished", lambda r, reading=reading: r == reading.request):
            reading.continue_()
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")


def test_a_poll_answered_late_changes_nothing(server: ServerProcess, page: Page) -> None:
    (poll,) = polled(page, server, most=1)
    with Client(server.url, TOKEN) as client, client.ask("watched") as trial:
        trial.report(6, 0.5)
    expect(page.get_by_text("Best trial: 0")).to_be_visible()
    answered(page, [poll])
    assert freshness(page).inner_text() == "live"
    assert page.get_by_text("Best trial: 0").is_visible()


def test_what_is_told_during_a_reading_outlives_it(server: ServerProcess, page: Page) -> None:
    """No later reading comes to its help: that one is held back to the end."""
    before = list(polled(page, server, most=100))
    server.call("PATCH", "/studies/watched", {"state": "paused"})
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    answered(page, before)
    assert page.get_by_role("button", name="Resume").is_visible()


def test_a_server_that_hangs_is_not_said_to_answer(server: ServerProcess, page: Page) -> None:
    page.clock.install()
    page.route("**/v1/events", lambda route: route.abort())
    log_in(page, server)
    page.get_by_role("link", name="watched").wait_for()
    page.clock.run_for(10_000)
    expect(freshness(page)).to_have_text("updates every 5 s")
    page.route("**/v1/board*", lambda _: None)
    page.clock.run_for(60_000)
    expect(freshness(page)).to_contain_text("stale: last heard")


def test_a_hidden_page_does_not_count_as_heard(server: ServerProcess, page: Page) -> None:
    """After two hours in the background the server is gone: the page was live two hours ago."""
    page.clock.install()
    log_in(page, server, "?study=watched")
    expect(freshness(page)).to_have_text("live")
    turn(page, hidden=True)
    server.kill()
    page.clock.fast_forward(7_200_000)
    turn(page, hidden=False)
    expect(freshness(page)).to_contain_text("stale: last heard 2 h")


def turn(page: Page, *, hidden: bool) -> None:
    """Hide the page as a tab in the background is, or show it."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
