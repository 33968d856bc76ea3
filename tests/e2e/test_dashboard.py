"""The dashboard in a real browser, live, with a real server behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.e2e.browser import log_in, opened
from tests.serving import TOKEN, ServerProcess
from tuner import Client

pytestmark = pytest.mark.browser
STUDY = {
    "name": "watched",
    "objective": {"metric": "loss", "mode": "min"},
    "space": {"lr": {"min": 1e-3, "max": 1.0, "log": True}},
    "pruner": {"name": "none"},
    "policies": [{"name": "halve_on_plateau", "factor": 0.5, "patience": 0}],
    "budget": {"trials": 4, "steps": 6},
    "run": "external",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


@pytest.fixture
def page() -> Iterator[Page]:
    with opened() as page:
        yield page


def test_an_empty_server_says_how_to_begin(server: ServerProcess, page: Page) -> None:
    log_in(page, server)
    expect(page.get_by_role("heading", name="No studies yet")).to_be_visible()
    expect(page.get_by_text("tuner submit first.yaml")).to_be_visible()


def test_a_study_is_watched_as_it_trains(server: ServerProcess, page: Page) -> None:
    """What others report shows without a reload, with its reason; no request goes elsewhere."""
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    with Client(server.url, TOKEN) as client:
        study = client.submit(STUDY)
        log_in(page, server)
        page.get_by_role("link", name="watched").click()
        expect(page.get_by_role("heading", name="watched")).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("live")
        with client.ask(study.id) as trial:
            for step, value in enumerate((0.9, 0.9, 0.5, 0.4, 0.3, 0.2), 1):
                trial.report(step, value)
    decisions = page.get_by_label("Decisions", exact=True)
    expect(decisions).to_contain_text("rate halved")
    expect(decisions).to_contain_text("complete at step 6")
    expect(page.get_by_role("img", name="Learning curves")).to_be_visible()
    expect(page.get_by_text("Best trial: 0")).to_be_visible()
    assert complaints == []
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


def test_names_full_of_html_are_text(server: ServerProcess, page: Page) -> None:
    server.call("POST", "/studies", {**STUDY, "name": "<img src=x onerror=alert(1)>"})
    said: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismissed)
    log_in(page, server)
    expect(page.get_by_role("link", name="<img src=x onerror=alert(1)>")).to_be_visible()
    assert said == []
