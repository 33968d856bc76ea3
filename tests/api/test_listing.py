"""Pages of lists: each item once whatever changes meanwhile; no cursor of another list."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.listing import Order, Place, _write, cut
from tests.api.conftest import Api, external
from tuner.errors import InvalidInput

SCOPE = ("things",)
ITEMS = st.dictionaries(st.integers(0, 50), st.none() | st.floats(-3, 3), max_size=30)


def order(reverse: bool) -> Order[tuple[int, float | None]]:
    return Order(value=lambda i: i[1], ident=lambda i: i[0], reverse=reverse)


@given(ITEMS, ITEMS, st.integers(1, 9), st.booleans())
def test_what_stays_is_on_one_page(
    stay: dict[int, float | None], other: dict[int, float | None], limit: int, reverse: bool
) -> None:
    come_and_go = [(i + 100, v) for i, v in other.items()]
    seen: list[tuple[int, float | None]] = []
    cursor, turn = None, 0
    while True:
        extra = come_and_go if turn % 2 else []
        page, cursor = cut(
            [*stay.items(), *extra], order(reverse), SCOPE, limit=limit, cursor=cursor
        )
        seen += [i for i in page if i[0] < 100]
        turn += 1
        if cursor is None:
            break
    assert seen == [item for _, item in order(reverse).arrange(stay.items())]


def _cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@given(
    st.text(alphabet="abcXYZ019_-=", max_size=60)
    | st.lists(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), max_size=5
    ).map(lambda parts: _cursor(*parts))
)
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor"):
        cut([(1, 2.0)], order(reverse=False), SCOPE, limit=1, cursor=text)


def test_a_forged_cursor_among_what_has_no_value_is_refused() -> None:
    for value in ("x", 0.5, 7):
        forged = _write(Place(True, value, 0), SCOPE)
        with pytest.raises(InvalidInput, match="next_cursor"):
            cut([(1, None)], order(reverse=False), SCOPE, limit=1, cursor=forged)


def test_a_cursor_goes_with_its_list() -> None:
    items = [(1, 1.0), (2, 2.0)]
    _, cursor = cut(items, order(reverse=False), SCOPE, limit=1, cursor=None)
    assert cut(items, order(reverse=False), SCOPE, limit=1, cursor=cursor) == ([(2, 2.0)], None)
    with pytest.raises(InvalidInput):
        cut(items, order(reverse=False), ("others",), limit=1, cursor=cursor)


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/tokens", "/projects", "/workers"])
async def test_lists_of_names_come_in_pages(api: Api, path: str) -> None:
    for n in range(5):
        await api.post("/tokens", {"name": f"t-{n}", "role": "viewer"})
        await api.post("/studies", external(f"s-{n}", queue={"project": f"p-{n}"}))
        await api.post("/workers", {"name": f"w-{n}", "host": "h", "slots": 1})
    whole = await api.get(path)
    assert (len(whole["items"]), whole["next_cursor"]) == (5, None)
    seen: list[Any] = []
    page = await api.get(path, limit=2)
    while page["next_cursor"] is not None:
        seen += page["items"]
        page = await api.get(path, limit=2, cursor=page["next_cursor"])
    seen += page["items"]
    for worker in (*seen, *whole["items"]):
        worker.pop("silent_s", None)
    assert seen == whole["items"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "query",
    ["limit=1_0", "limit=%2B5", "limit=5.0", "limit=%205", "limit=0x5", "limit=1e1", "limit=",
     "min_value=1_0", "min_value=%2B1", "min_value=.5", "max_value=inf", "max_value="],
)  # fmt: skip
async def test_numbers_are_plain(api: Api, query: str) -> None:
    await api.post("/studies", external())
    await api.refused(422, "invalid-input", "GET", f"/studies/loop/trials?{query}")
    assert await api.get("/studies/loop/trials?limit=5&min_value=-1.5e-3&max_value=7")


@pytest.mark.anyio
async def test_studies_are_sorted_and_chosen(api: Api) -> None:
    names = ("b1", "a\U0001f600", "b2")
    for priority, name in enumerate(names):
        await api.post("/studies", external(name, queue={"priority": priority}))

    async def listed(**query: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            asked = {**query, "limit": 1} | ({"cursor": cursor} if cursor else {})
            page = await api.get("/studies", **asked)
            found += [s["name"] for s in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                return found

    assert await listed(sort="created") == list(names)
    assert await listed(sort="name") == sorted(names)
    assert await listed(sort="-name") == sorted(names, reverse=True)
    assert await listed(sort="-priority") == ["b2", "a\U0001f600", "b1"]
    assert await listed(sort="best") == list(names)
    assert await listed(name="b") == ["b2", "b1"]
    assert await listed(owner="admin", name="a") == ["a\U0001f600"]
    assert await listed(owner="nobody") == []
    page = await api.get("/studies", limit=1)
    other = {"sort": "name", "cursor": page["next_cursor"]}
    await api.refused(422, "invalid-input", "GET", "/studies", params=other)
