"""What the dashboard's modules reckon, in a real browser: searches, dashes, what followed a cut."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import log_in, opened
from tests.serving import ServerProcess

pytestmark = pytest.mark.browser
RECKON = """async () => {
  const root = document.querySelector("script[src]").src.replace(/main\\.js$/, "");
  const { afterCuts } = await import(root + "lib/series.js");
  const { dashesOf } = await import(root + "lib/colors.js");
  const { some, took } = await import(root + "lib/format.js");
  const { choose, searchWords } = await import(root + "study/rows.js");
  const { brushed, intervals } = await import(root + "analysis/brush.js");
  const names = ["relu", "leaky relu", "a|b", 'say "hi"', ""];
  const table = { rows: 5, columns: { number: [0, 1, 2, 3, 4], outcome: names },
                  params: { act: names } };
  const act = { name: "act", kind: "category", categories: names, values: names };
  const each = names.map((_, i) => brushed("lr>0.1", act, [[i - 0.4, i + 0.4]]));
  const all = brushed("", act, [[-0.4, 4.4]]);
  const curve = { step: [1, 2, 3, 4, 5], value: [0.9, 0.5, null, 0.4, 0.6],
                  lr_factor: [1, 1, 0.5, 0.5, 0.25] };
  const dash = dashesOf([3, 27, 51, 4]);
  return {
    each,
    chosen: each.map((q) => choose(table, q.replace("lr>0.1 ", ""), "number", 0)),
    all: choose(table, all, "number", 0),
    back: each.map((q) => intervals(q, act)),
    again: brushed(each[1], act, []),
    stray: searchWords('a "b c'),
    text: choose(table, '"leaky relu"', "number", 0),
    min: afterCuts(curve, "min"),
    max: afterCuts(curve, "max").map((f) => f.better),
    dashes: new Set([3, 27, 51].map((n) => dash(n).join())).size,
    words: [some(1, "trial"), some(2, "trial"), some(1, "study", "studies"), took(0.34), took(95)],
  };
}"""

DRAW = """async ([distr, log, low, high]) => {
  const root = document.querySelector("script[src]").src.replace(/main\\.js$/, "");
  const { default: uPlot } = await import("uplot");
  const { axis } = await import(root + "ui/chart.js");
  const plot = new uPlot({
    width: 600, height: 300, series: [{}, {}], axes: [axis("step"), axis("loss")],
    scales: { x: { time: false }, y: { distr, log, range: [low, high] } },
  }, [[1, 2], [low, high]], document.createElement("div"));
  await new Promise(requestAnimationFrame);
  return plot.axes[1]._splits;
}"""
LINEAR, LOG = 1, 3


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server, opened() as page:
        log_in(page, server)
        yield page


@pytest.fixture(scope="module")
def found(page: Page) -> dict[str, Any]:
    reckoned: dict[str, Any] = page.evaluate(RECKON)
    return reckoned


def test_a_brush_quotes_what_a_search_would_part(found: dict[str, Any]) -> None:
    assert found["each"] == [
        "lr>0.1 act=relu",
        'lr>0.1 act="leaky relu"',
        'lr>0.1 act="a|b"',
        'lr>0.1 act="say ""hi"""',
        'lr>0.1 act=""',
    ]
    assert found["chosen"] == [[0], [1], [2], [3], [4]]
    assert found["all"] == [0, 1, 2, 3, 4]
    assert found["back"] == [[[i - 0.4, i + 0.4]] for i in range(5)]
    assert found["again"] == "lr>0.1"
    assert found["stray"] == ["a", '"b', "c"]
    assert found["text"] == [1]


def test_what_followed_a_cut_is_told_until_the_next_one(found: dict[str, Any]) -> None:
    assert found["min"] == [
        {"step": 2, "before": 0.5, "after": 0.4, "points": 2, "better": True},
        {"step": 4, "before": 0.4, "after": 0.6, "points": 1, "better": False},
    ]
    assert found["max"] == [False, False]


def test_lines_of_one_colour_are_dashed_apart(found: dict[str, Any]) -> None:
    assert found["dashes"] == 3


def test_counts_and_short_times_read_well(found: dict[str, Any]) -> None:
    assert found["words"] == ["1 trial", "2 trials", "1 study", "0.3 s", "2 min"]


@pytest.mark.parametrize(
    ("distr", "log", "low", "high", "ticks"),
    [
        (LOG, 10, 0.0965, 0.45, [0.1, 0.2, 0.3, 0.4]),
        (LOG, 10, 0.955, 0.99, [0.96, 0.97, 0.98, 0.99]),
        (LOG, 10, 99.0, 101.0, [99, 99.5, 100, 100.5, 101]),
        (LOG, 2, 0.25, 1.0, [0.25, 0.5, 1]),
        (LINEAR, 10, -0.5, 0.5, [-0.4, -0.2, 0, 0.2, 0.4]),
    ],
)
def test_ticks_are_round(
    page: Page, distr: int, log: int, low: float, high: float, ticks: list[float]
) -> None:
    assert page.evaluate(DRAW, [distr, log, low, high]) == ticks


@pytest.mark.parametrize("low", [-1830.4202969990076, 3.4285592661560607, 1e-300, 1e300])
def test_a_range_of_a_few_roundings_is_drawn(page: Page, low: float) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for roundings in range(1, 12):
        high = low + roundings * math.ulp(low)
        for distr in (LINEAR, LOG) if low > 0 else (LINEAR,):
            assert len(page.evaluate(DRAW, [distr, 10, low, high]) or []) < 20
    assert errors == []
