"""What people do by hand in the dashboard, in a real browser with a real server behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import log_in, opened
from tests.serving import TOKEN, ServerProcess
from tuner import Client

pytestmark = pytest.mark.browser
STUDY = {
    "objective": {"metric": "loss", "mode": "min"},
    "space": {
        "lr": {"min": 1e-3, "max": 1.0, "log": True},
        "act": {"values": ["relu", "gelu"]},
    },
    "pruner": {"name": "none"},
    "policies": [],
    "budget": {"trials": 20, "steps": 50},
    "run": "external",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("actions")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url, TOKEN) as client:
        yield client


@pytest.fixture(scope="module")
def page(server: ServerProcess) -> Iterator[Page]:
    with opened() as page:
        log_in(page, server)
        yield page


def test_a_rate_halved_by_hand_and_a_trial_stopped(
    server: ServerProcess, client: Client, page: Page
) -> None:
    study = client.submit({**STUDY, "name": "steered"})
    with client.ask(study.id) as trial:
        for step in range(1, 4):
            assert trial.report(step, 1 / step).lr_factor == 1.0
        page.goto(f"{server.url}/?study=steered&trial={trial.number}")
        page.get_by_role("button", name="Halve its rate…").click()
        page.get_by_label("Why, if you like").fill("the loss jumps")
        page.get_by_role("button", name="Cut the rate").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        # The focus is back where the dialog was asked from.
        expect(page.get_by_role("button", name="Halve its rate…")).to_be_focused()
        assert trial.report(4, 0.25).lr_factor == 0.5
        assert trial.report(5, 0.2).lr_factor == 0.5
        expect(page.get_by_text("the loss jumps").first).to_be_visible()
        page.goto(f"{server.url}/?study=steered")
        decisions = page.get_by_label("Decisions", exact=True)
        expect(decisions).to_contain_text("rate halved at step 3: cut by hand by admin")
        curves = page.get_by_role("region", name="Learning curves")
        curves.get_by_role("button", name="Table").click()
        # Trial, outcome, points, last value, halvings: one mark on this curve.
        expect(curves.get_by_role("row").nth(1).get_by_role("cell").last).to_have_text("1")
        page.goto(f"{server.url}/?study=steered&trial={trial.number}")
        page.get_by_role("button", name="Stop the trial…").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop the trial").click()
        expect(page.get_by_text("stopped by hand by admin").first).to_be_visible()
        assert trial.report(6, 0.1).stop
    expect(page.get_by_role("button", name="Stop the trial…")).to_be_disabled()
    expect(page.get_by_text("the trial has ended", exact=True)).to_be_visible()


def test_notes_tags_pins_and_views_stay(server: ServerProcess, client: Client, page: Page) -> None:
    client.submit({**STUDY, "name": "noted"})
    page.goto(f"{server.url}/?study=noted")
    page.get_by_role("button", name="Note, tags…").click()
    page.get_by_label("Note", exact=True).fill("<b>keep</b> this")
    page.get_by_label("Tags, with commas between").fill("paper, odd one")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("<b>keep</b> this")).to_be_visible()
    page.get_by_role("button", name="☆ Pin").click()
    page.reload()
    expect(page.get_by_text("<b>keep</b> this")).to_be_visible()
    expect(page.get_by_role("button", name="★ Pinned")).to_be_visible()
    page.goto(f"{server.url}/")
    page.get_by_label("Tag").select_option("odd one")
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Name of the view").fill("the odd ones")
    page.get_by_role("button", name="Save this page").click()
    expect(page.get_by_role("link", name="the odd ones")).to_be_visible()
    page.goto(f"{server.url}/?study=noted")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="the odd ones").click()
    page.wait_for_url("**/?tag=odd+one")
    expect(page.get_by_role("link", name="noted")).to_be_visible()


def test_the_space_is_widened_where_the_best_sits_at_a_bound(
    server: ServerProcess, client: Client, page: Page
) -> None:
    study = client.submit({**STUDY, "name": "at-a-bound"})
    best = study.enqueue({"lr": 1.0, "act": "gelu"})
    with client.ask(study.id) as trial:
        assert trial.number == best.number
        trial.report(1, 0.1)
    page.goto(f"{server.url}/?study=at-a-bound")
    page.get_by_role("button", name="Space ▲1…").click()
    expect(page.get_by_text("The best sits at the upper bound")).to_be_visible()
    # What the server refuses is said in the dialog, which stays open.
    page.get_by_label("from").fill("2")
    page.get_by_role("button", name="Change the space").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_label("from").fill("0.001")
    page.get_by_role("button", name="Widen to 10").click()
    page.get_by_role("button", name="Change the space").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert study.refresh().view.spec["space"]["lr"]["max"] == 10
    page.get_by_role("button", name="Enqueue…").click()
    page.get_by_role("button", name="Fill in the best").click()
    page.get_by_label("lr", exact=True).fill("5")
    page.get_by_role("button", name="Enqueue the trial").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert study.trials(origin="enqueued")[-1].params == {"lr": 5, "act": "gelu"}


def test_who_looks_on_is_told_so(server: ServerProcess, client: Client, page: Page) -> None:
    client.submit({**STUDY, "name": "watched"})
    secret = client.create_token("eve", "viewer").secret
    browser = page.context.browser
    assert browser is not None
    other = browser.new_page()
    log_in(other, server, "?study=watched", secret)
    expect(other.get_by_text("You look on: a submitter's token")).to_be_visible()
    expect(other.get_by_role("button", name="Pause")).to_be_disabled()
    expect(other.get_by_role("button", name="Note, tags…")).to_have_count(0)
    other.close()
