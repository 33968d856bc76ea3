"""What the dashboard's modules reckon, in a real browser: searches, dashes, what followed a cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

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


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server, opened() as page:
        log_in(page, server)
        yield page.evaluate(RECKON)


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
