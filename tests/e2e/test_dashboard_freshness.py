"""What the dashboard says of its freshness, in a real browser, as servers stop, hang, return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.browser import log_in, opened
from tests.serving import TOKEN, ServerProcess
from tuner import Client

pytestmark = pytest.mark.browser
STUDY = {
    "name": "watched",
    "objective": {"metric": "loss", "mode": "min"},
    "space": {"lr": {"min": 1e-3, "max": 1.0, "log": True}},
    "pruner": {"name": "none"},
    "budget": {"trials": 4, "steps": 6},
    "run": "external",
}


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


def test_a_late_answer_to_a_poll_changes_nothing(server: ServerProcess, page: Page) -> None:
    """The stream opens while a poll is on its way, which is answered after news of the stream."""
    polls: list[Route] = []

    def hold_first(route: Route) -> None:
        if polls:
            route.continue_()
        else:
            polls.append(route)

    page.route("**/watched/events", lambda route: route.continue_() if polls else route.abort())
    log_in(page, server, "?study=watched")
    page.get_by_role("heading", name="watched").wait_for()
    page.route("**/watched/findings*", hold_first)
    expect(freshness(page)).to_have_text("live", timeout=60_000)
    server.call("PATCH", "/studies/watched", {"state": "paused"})
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    (poll,) = polls
    with page.expect_event("requestfinished", lambda request: request == poll.request):
        poll.continue_()
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    expect(freshness(page)).to_have_text("live")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


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
