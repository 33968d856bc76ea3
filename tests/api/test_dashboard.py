"""The dashboard's page and files, and what its charts ask for."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from api.settings import Settings
from api.site import FOLDER, site
from tests.api.conftest import Api, external, problem, running, train

pytestmark = pytest.mark.anyio
"""Of another origin: what a page may not name."""
ELSEWHERE = re.compile(rb"""(?:src|href|url\(|from|import\()\s*=?\s*["']?https?://""")


async def test_the_page_names_files_that_are_there_and_no_others(
    settings: Settings,
) -> None:
    async with running(settings) as api:
        page = await api.http.get("/")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        names = re.findall(r'(?:href|src)="(assets/[^"]+)"', page.text)
        imports = json.loads(re.findall(r"importmap\">(.*?)</script>", page.text)[0])["imports"]
        assert len(names) > 10
        for name in (*names, *(path.removeprefix("./") for path in imports.values())):
            file = await api.http.get(f"/{name}")
            assert file.status_code == 200, name
            assert "immutable" in file.headers["cache-control"]
            assert not ELSEWHERE.search(file.content), name


async def test_a_module_imports_what_is_there() -> None:
    for module in FOLDER.rglob("*.js"):
        if "vendor" in module.parts:
            continue
        for target in re.findall(r'from "(\.[^"]+)"', module.read_text("utf-8")):
            assert (module.parent / target).is_file(), (module, target)


async def test_a_file_of_another_version_is_not_there(api: Api) -> None:
    problem(await api.http.get("/assets/0123456789ab/main.js"), 404, "not-found")
    problem(await api.http.get("/assets/../api/app.py"), 404, "not-found")


async def test_files_are_compressed_for_who_takes_it(api: Api) -> None:
    page = (await api.http.get("/")).text
    name = re.findall(r'src="(assets/[^"]+main.js)"', page)[0]
    async with api.http.stream("GET", f"/{name}", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join([piece async for piece in packed.aiter_raw()])
    plain = await api.http.get(f"/{name}", headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(raw) == plain.content == (FOLDER / "main.js").read_bytes()


async def test_the_query_of_the_page_is_its_own_business(api: Api) -> None:
    assert (await api.http.get("/", params={"study": "1", "tab": "x"})).status_code == 200


async def test_charts_of_a_study(api: Api) -> None:
    await api.post("/studies", external())
    for values in ([0.5, 0.25], [0.75, 0.5], [0.25, 0.125]):
        await train(api, "loop", values)
    progress = await api.get("/studies/loop/progress")
    assert progress["best"]["value"] == [0.25, 0.125]
    shown = await api.get("/studies/loop/curves", top=1, chosen="1")
    assert {c["number"] for c in shown["curves"]} == {1, 2}
    assert shown["band"]["n"] == [3, 3]
    columns = await api.get("/studies/loop/columns")
    assert columns["columns"]["value"] == [0.25, 0.5, 0.125]
    decisions = await api.get("/studies/loop/decisions", limit=2)
    assert [e["number"] for e in decisions["items"]] == [2, 1]
    rest = await api.get("/studies/loop/decisions", before=decisions["next_cursor"])
    assert [e["number"] for e in rest["items"]] == [0]
    await api.refused(422, "invalid-input", "GET", "/studies/loop/curves?chosen=1,x")
    await api.refused(404, "not-found", "GET", "/studies/none/progress")


IDLE = "its own loop has asked for no trial yet"


async def test_the_board_is_in_the_queues_order_and_says_why_a_study_waits(api: Api) -> None:
    for name, priority in (("low", 0), ("high", 5)):
        await api.post("/studies", external(name=name, queue={"priority": priority}))
    await api.post("/studies", external(name="over"))
    await api.patch("/studies/over", {"state": "cancelled"})
    board = await api.get("/board")
    assert [row["name"] for row in board["items"]] == ["high", "low", "over"]
    assert [row["note"] for row in board["items"]] == [IDLE, IDLE, ""]
    first = await api.get("/board", limit=1)
    rest = await api.get("/board", cursor=first["next_cursor"])
    assert [row["name"] for row in rest["items"]] == ["low", "over"]


async def test_the_first_view_is_light_and_reads_the_rest_later() -> None:
    shown = site()
    early = re.findall(r'"modulepreload" href="([^"]+)"', shown.page.decode())
    names = {name.split("/", 2)[2] for name in early}
    assert {"main.js", "ui/chart.js", "vendor/uplot.js", "vendor/signals-core.js"} <= names
    assert names.isdisjoint({"pages/trial.js", "study/trials.js", "vendor/echarts.js"})
    sent = sum(len(shown.files[f"/{name}"].packed) for name in early)
    assert sent < 100_000, "150 KB are for all of the first view, its data included"
