"""What holds on every page of the dashboard: read by all, by keyboard, on a phone, below a path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import launched, log_in
from tests.pages import LIVELY, PAGES, Shown, lay
from tests.prefix import below_a_path
from tests.serving import TOKEN, ServerProcess

pytestmark = pytest.mark.browser
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
WIDE = {"width": 1400, "height": 900}
PHONE = {"width": 390, "height": 844}
TABS = 7
STREAMS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        lay(server.url)
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@contextmanager
def reader(browser: Browser, server: ServerProcess, **options: Any) -> Iterator[Page]:
    """Give a page that is logged in and shows the studies; each in a browser profile of its own."""
    context = browser.new_context(viewport=options.pop("viewport", WIDE), **options)
    page = context.new_page()
    log_in(page, server)
    yield page
    context.close()


@pytest.fixture
def page(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    with reader(browser, server) as page:
        yield page


def opened(page: Page, server: ServerProcess, shown: Shown) -> None:
    page.goto(f"{server.url}/{shown.target}")
    page.wait_for_selector(shown.has)
    expect(page.get_by_text("Loading")).to_have_count(0)


def faults(page: Page) -> list[str]:
    """Return what axe finds on a page that keeps someone from using it."""
    page.evaluate(AXE)
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{v['id']}: {json.dumps(v['nodes'][0]['html'])}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Browser, server: ServerProcess, theme: Any) -> None:
    with reader(browser, server, color_scheme=theme) as page:
        for shown in PAGES:
            opened(page, server, shown)
            assert faults(page) == [], shown.name
        page.keyboard.press("?")
        assert faults(page) == [], "keys"


def test_axe_finds_no_serious_fault_on_the_log_in_page(
    browser: Browser, server: ServerProcess
) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/login")
    assert faults(page) == []
    page.close()


def test_pages_fit_a_phone(browser: Browser, server: ServerProcess) -> None:
    with reader(browser, server, viewport=PHONE) as page:
        for shown in PAGES:
            opened(page, server, shown)
            assert page.evaluate("document.documentElement.scrollWidth") == 390, shown.name
            assert faults(page) == [], shown.name


def test_the_keyboard_leads_and_says_how(page: Page) -> None:
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    assert skip.evaluate("e => getComputedStyle(e).outlineStyle") != "none"
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("go to the studies")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    before = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.dataset.theme") != before


def test_a_seventh_tab_works_beside_six(browser: Browser, server: ServerProcess) -> None:
    """Browsers open six connections to a server: the tabs leave some of them to requests."""
    with reader(browser, server) as first:
        tabs = [first, *(first.context.new_page() for _ in range(TABS - 1))]
        for tab in tabs:
            tab.goto(f"{server.url}/?study={LIVELY}")
            expect(tab.get_by_role("heading", name=LIVELY)).to_be_visible()
        for k, tab in enumerate(tabs):
            said = "live" if k < STREAMS else "updates every 5 s"
            expect(tab.get_by_role("status")).to_have_text(said)
        tabs[0].close()
        expect(tabs[-1].get_by_role("heading", name=LIVELY)).to_be_visible()


def test_all_works_below_a_path(browser: Browser, server: ServerProcess) -> None:
    asked: list[str] = []
    with below_a_path(server.url) as url:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{url}/?study={LIVELY}&tab=trials")
        page.wait_for_url(f"{url}/login?next=*")
        page.fill("#token", TOKEN)
        page.click("button")
        page.wait_for_url(f"{url}/?study={LIVELY}&tab=trials")
        expect(page.get_by_role("status")).to_have_text("live")
        page.get_by_role("link", name="Studies").click()
        page.get_by_role("link", name=LIVELY).click()
        expect(page.get_by_role("img", name="Learning curves")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{url}/login")
        page.close()
    assert [a for a in asked if not a.startswith((f"{url}/", "data:", "blob:"))] == []


def test_an_address_holds_what_is_shown(page: Page, server: ServerProcess) -> None:
    page.goto(f"{server.url}/?state=running&sort=-name&q=i")
    expect(page.locator("table.studies tbody tr")).to_have_count(2)
    expect(page.locator("table.studies tbody tr").first).to_contain_text("rising")
    page.get_by_label("State").select_option("")
    expect(page.locator("table.studies tbody tr")).to_have_count(3)
    assert "state" not in page.url
    page.reload()
    expect(page.locator("table.studies tbody tr")).to_have_count(3)
    page.get_by_label("Find by name").fill("none is called so")
    page.get_by_role("link", name="Show all 3").click()
    expect(page.locator("table.studies tbody tr")).to_have_count(3)


def test_what_is_not_there_leads_on(page: Page, server: ServerProcess) -> None:
    page.goto(f"{server.url}/?study=nothing-is-called-so")
    expect(page.get_by_role("alert")).to_contain_text("nothing-is-called-so")
    page.get_by_role("link", name="All studies").click()
    expect(page.get_by_role("heading", name="Studies")).to_be_visible()


def test_values_that_no_log_can_show_are_named(page: Page, server: ServerProcess) -> None:
    page.goto(f"{server.url}/?study=rising")
    curves = page.get_by_role("region", name="Learning curves")
    expect(curves.get_by_text("no log: values ≤ 0")).to_be_visible()
    expect(curves.get_by_role("button", name="log")).to_be_disabled()
    page.goto(f"{server.url}/?study={LIVELY}")
    expect(curves.get_by_role("button", name="log")).to_be_enabled()


PICTURE = """async (chart) => {
  const root = document.querySelector("script[src]").src.replace(/main\\.js$/, "");
  const { picture } = await import(root + "lib/save.js");
  const canvas = chart.querySelector("canvas");
  const legend = chart.querySelector(".legend");
  const colors = [...legend.querySelectorAll("line")].map((l) => getComputedStyle(l).stroke);
  const made = picture(canvas, "A title", 1, legend);
  const head = made.height - canvas.height;
  const { data } = made.getContext("2d").getImageData(0, 30, made.width, head - 30);
  const found = new Set();
  for (let i = 0; i < data.length; i += 4) found.add(`rgb(${data.slice(i, i + 3).join(", ")})`);
  const bare = picture(canvas, "A title", 1, null).height - canvas.height;
  return { rows: (head - bare) / 18, colors, drawn: colors.map((c) => found.has(c)) };
}"""


def test_a_picture_names_its_series_a_dozen_of_them(page: Page, server: ServerProcess) -> None:
    page.goto(f"{server.url}/?study={LIVELY}&trials={','.join(map(str, range(12)))}")
    for title in ("Learning curves", "Rate, as a part of its start"):
        found = page.get_by_role("region", name=title).evaluate(PICTURE)
        assert 5 < len(found["colors"]) < 12
        assert all(found["drawn"])
        assert found["rows"] >= 1
    chart = page.get_by_role("region", name="Learning curves")
    chart.locator(".legend").evaluate(
        """(legend) => {
          const line = legend.querySelector(":scope > :has(line)");
          for (let n = 0; n < 30; n++) {
            const more = legend.appendChild(line.cloneNode(true));
            more.querySelector("line").setAttribute("stroke", `rgb(${n}, 2, 3)`);
          }
        }"""
    )
    drawn = chart.evaluate(PICTURE)["drawn"]
    assert drawn == [True] * 12 + [False] * (len(drawn) - 12)


def test_every_chart_is_a_picture_and_a_table(page: Page, server: ServerProcess) -> None:
    page.goto(f"{server.url}/?study={LIVELY}")
    for title in ("Best so far", "Learning curves", "Rate, as a part of its start"):
        chart = page.get_by_role("region", name=title)
        with page.expect_download() as saved:
            chart.get_by_role("button", name="PNG").click()
        assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
        chart.get_by_role("button", name="Table").click()
        expect(chart.locator("tbody tr").first).to_be_visible()


def test_the_table_of_trials_is_saved_as_it_is_shown(page: Page, server: ServerProcess) -> None:
    page.goto(
        f"{server.url}/?study={LIVELY}&tab=trials&q=complete&cols=number,value,p.lr&sort=value"
    )
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    values = [float(line.split(",")[1]) for line in lines[1:]]
    assert lines[0] == "number,value,lr"
    assert values == sorted(values)
    assert len(values) >= 5


def test_trials_are_chosen_and_compared(page: Page, server: ServerProcess) -> None:
    page.goto(f"{server.url}/?study={LIVELY}&tab=trials")
    for number in range(6):
        page.get_by_label(f"Compare trial {number}", exact=True).check()
    expect(page.get_by_label("Compare trial 6", exact=True)).to_be_disabled()
    page.get_by_role("link", name="Compare 6").click()
    expect(page.get_by_role("button", name="Take trial 5 away")).to_be_visible()
    expect(page.get_by_role("img", name="Curves")).to_be_visible()
