"""The study's tabs analysis, rungs and config in a real browser."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import log_in, opened
from tests.serving import TOKEN, ServerProcess
from tuner import Client
from tuner.spec.read import parse_yaml

pytestmark = pytest.mark.browser
STUDY = {
    "name": "analysed",
    "objective": {"metric": "loss", "mode": "min"},
    "space": {
        "lr": {"min": 1e-6, "max": 0.1, "log": True},
        "act": {"values": ["relu", "gelu"]},
        "always": {"value": 3},
        "drop": {"min": 0.0, "max": 1.0},
    },
    "sampler": {"name": "random", "seed": 1},
    "pruner": {"name": "asha", "min": 1, "max": 4, "eta": 2},
    "policies": [{"name": "halve_on_plateau", "patience": 1, "min_lr": 1e-7}],
    "budget": {"trials": 60, "steps": 4},
    "run": "external",
}
TRIALS = 48


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        with Client(server.url, TOKEN) as client:
            study = client.submit(STUDY)
            for _ in range(TRIALS):
                with client.ask(study.id) as trial:
                    if trial.number == 5:
                        trial.fail("ValueError: width 7 is odd", retry=False)
                        continue
                    for step in range(1, 5):
                        trial.report(step, -math.log10(float(trial.params["lr"])) + 1 / step)
                        if trial.should_stop:
                            break
        yield server


@pytest.fixture(scope="module")
def page(server: ServerProcess) -> Iterator[Page]:
    with opened() as page:
        log_in(page, server)
        yield page


def shown(page: Page, server: ServerProcess, tab: str) -> list[str]:
    """Open a tab; return what the page complains of from now on."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.url}/?study=analysed&tab={tab}")
    return complaints


def test_importances_arrive_and_constants_are_hidden(server: ServerProcess, page: Page) -> None:
    complaints = shown(page, server, "analysis")
    bars = page.get_by_role("region", name="Importance")
    bars.get_by_role("button", name="Importance as a table").click(timeout=30_000)
    expect(bars.get_by_role("row").nth(1)).to_contain_text("lr")
    expect(page.get_by_role("img", name="Slice: act")).to_be_visible()
    expect(page.get_by_role("img", name="Slice: always")).to_have_count(0)
    assert complaints == []


def test_a_brush_changes_the_table_and_the_curves_and_lies_in_the_address(
    server: ServerProcess, page: Page
) -> None:
    complaints = shown(page, server, "analysis")
    chart = page.get_by_role("img", name="Parallel coordinates").locator("canvas").first
    expect(chart).to_be_visible()
    table = page.get_by_role("region", name="Trials")
    expect(table).to_contain_text(f"{TRIALS} of {TRIALS} trials")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 46, box["y"] + 45)
    page.mouse.down()
    page.mouse.move(box["x"] + 46, box["y"] + 100, steps=4)
    page.mouse.up()
    said = page.get_by_role("status", name="Selection")
    expect(said).to_contain_text(f"of {TRIALS} selected")
    assert "q=lr%3E%3D" in page.url
    chosen = int((said.text_content() or "").split()[0])
    assert 0 < chosen < TRIALS
    expect(table).to_contain_text(f"{chosen} of {TRIALS} trials")
    expect(page.get_by_role("img", name="Curves of the selected")).to_be_visible()
    page.reload()
    expect(said).to_contain_text(f"{chosen} of {TRIALS} selected")
    page.get_by_role("button", name="Clear the selection").click()
    expect(table).to_contain_text(f"{TRIALS} of {TRIALS} trials")
    expect(page.get_by_role("img", name="Curves of the selected")).to_have_count(0)
    assert "q=" not in page.url
    assert complaints == []


def test_a_best_value_at_a_bound_is_marked_in_words(server: ServerProcess, page: Page) -> None:
    shown(page, server, "analysis")
    at = page.get_by_role("region", name="At the edge of the range")
    expect(at).to_contain_text("at the upper edge (0.1)")
    at.get_by_role("button", name="Widen…").click()
    dialog = page.get_by_role("dialog", name="Space of analysed")
    expect(dialog.get_by_role("button", name="Widen to 1")).to_be_visible()
    page.keyboard.press("Escape")


def test_the_first_screen_says_what_matters(server: ServerProcess, page: Page) -> None:
    shown(page, server, "overview")
    rows = page.get_by_role("table", name="Importance of parameters").get_by_role("row")
    expect(rows.first).to_contain_text("lr")
    page.keyboard.press("/")
    expect(page.locator("body")).to_be_focused()
    page.goto(f"{server.url}/?study=analysed&tab=trials")
    search = page.get_by_label("Search the trials")
    expect(search).to_be_visible()
    page.keyboard.press("/")
    expect(search).to_be_focused()


def test_failures_are_grouped_by_cause(server: ServerProcess, page: Page) -> None:
    shown(page, server, "analysis")
    failures = page.get_by_role("region", name="Failures by cause")
    expect(failures).to_contain_text("ValueError: width … is odd")
    expect(failures.get_by_role("link", name="5", exact=True)).to_be_visible()


def test_the_funnel_counts_who_reached_each_rung(server: ServerProcess, page: Page) -> None:
    complaints = shown(page, server, "rungs")
    expect(page.get_by_role("img", name="Funnel")).to_be_visible()
    numbers = page.get_by_role("region", name="Funnel: numbers").get_by_role("row")
    expect(numbers.nth(1)).to_contain_text(str(TRIALS - 1))
    expect(page.get_by_text("the best 1 in 2 go on")).to_be_visible()
    assert complaints == []


def test_the_document_is_yaml_that_says_the_same(server: ServerProcess, page: Page) -> None:
    shown(page, server, "config")
    text = page.get_by_label("Document of analysed").text_content()
    spec = server.call("GET", "/studies/analysed")["spec"]
    # A range from 0 to 1 would be of whole numbers, one from 0.0 to 1.0 is not.
    written = parse_yaml(text or "")
    assert written == spec
    assert json.dumps(written["space"]) == json.dumps(spec["space"])


def test_the_space_is_widened_from_the_edge(server: ServerProcess, page: Page) -> None:
    shown(page, server, "analysis")
    edge = page.get_by_role("region", name="At the edge of the range")
    edge.get_by_role("button", name="Widen…").click()
    page.get_by_role("button", name="Widen to 1", exact=True).click()
    page.get_by_role("button", name="Change the space").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert server.call("GET", "/studies/analysed")["spec"]["space"]["lr"]["max"] == 1
