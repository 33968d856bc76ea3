"""Results as tables: CSV and Parquet of trials and of reports."""

from __future__ import annotations

import csv
import io
import math
import sys
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from tests.api.conftest import Api, external, train
from tests.api.in_process import API

pytestmark = pytest.mark.anyio

SPACE = {
    "lr": {"min": 0.001, "max": 1.0, "log": True},
    "layers": {"min": 1, "max": 4},
    "kind": {"values": ["=1+1", "-x", "plain", 2]},
    "bias": {"values": [True, False]},
    "momentum": {"min": 0.5, "max": 0.9, "when": {"bias": True}},
}


async def export(api: Api, **query: str) -> httpx.Response:
    response = await api.http.get(f"{API}/studies/loop/export", params=query)
    assert response.status_code == 200, response.text
    return response


async def rows(api: Api, table: str) -> list[dict[str, str]]:
    response = await export(api, format="csv", table=table)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert f"loop-{table}.csv" in response.headers["content-disposition"]
    return list(csv.DictReader(io.StringIO(response.text)))


async def parquet(api: Api, table: str) -> Any:
    response = await export(api, format="parquet", table=table)
    return pyarrow.parquet.read_table(io.BytesIO(response.content))


async def lay(api: Api) -> None:
    """Make trials that are complete, diverged, failed and waiting; one in its second attempt."""
    await api.post("/studies", external(space=SPACE, policies=[{"name": "divergence"}]))
    for kind, bias in (("=1+1", True), ("-x", False), (2, True), ("plain", True)):
        params = {"lr": 0.5, "layers": 2, "kind": kind, "bias": bias}
        await api.post("/studies/loop/trials", {"params": params})
    await train(api, "loop", [0.5, 0.25])
    lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    held = {"lease": lease["lease"], "attempt": 1}
    await api.post(
        "/reports", {"reports": [held | {"step": 1, "value": None, "status": "diverged"}]}
    )
    lease = await train(api, "loop", [0.75], finish=False)
    body = {"attempt": 1, "outcome": "failed", "error": "@SUM(A1)"}
    await api.post(f"/leases/{lease['lease']}/finish", body)
    await train(api, "loop", [0.5])


async def test_a_row_a_trial(api: Api) -> None:
    await lay(api)
    shown = (await api.get("/studies/loop/trials"))["items"]
    found = await rows(api, "trials")
    assert [int(r["number"]) for r in found] == [t["number"] for t in shown]
    for row, trial in zip(found, shown, strict=True):
        assert row["state"] == trial["state"]
        assert row["outcome"] == (trial["outcome"] or "")
        assert row["value"] == ("" if trial["value"] is None else repr(trial["value"]))
        assert row["attempts"] == str(trial["attempt"])
        assert float(row["params.lr"]) == trial["params"]["lr"]
        assert row["params.bias"] == str(trial["params"]["bias"]).lower()
        assert (row["params.momentum"] == "") is not trial["params"]["bias"]
    first = next(r for r in found if r["outcome"] == "complete")
    assert float(first["duration_s"]) >= 0
    assert first["ended_at"].endswith("+00:00")
    assert first["last_step"] == "2"


async def test_a_text_is_no_formula_to_a_spreadsheet(api: Api) -> None:
    await lay(api)
    found = await rows(api, "trials")
    kinds = [r["params.kind"] for r in found[-4:]]
    assert kinds == ["'=1+1", "'-x", "2", "plain"]
    table = await parquet(api, "trials")
    assert table["params.kind"].to_pylist()[-4:] == ["=1+1", "-x", "2", "plain"]


async def test_a_row_a_report(api: Api) -> None:
    await lay(api)
    found = await rows(api, "reports")
    assert [r["value"] for r in found[:3]] == ["0.5", "0.25", "nan"]
    assert [r["step"] for r in found[:3]] == ["1", "2", "1"]
    assert {r["attempt"] for r in found} >= {"1"}
    assert {r["lr_factor"] for r in found} == {"1.0"}
    assert [r["value"] for r in found if r["in_curve"] == "false"] == ["0.75"]
    assert found[0]["metrics.accuracy"] == "0.5"
    assert found[2]["metrics.accuracy"] == ""


async def test_parquet_holds_what_csv_holds_with_types(api: Api) -> None:
    await lay(api)
    table = await parquet(api, "trials")
    kinds = {name: str(table.schema.field(name).type) for name in table.schema.names}
    assert kinds["params.lr"] == "double"
    assert kinds["params.layers"] == "int64"
    assert kinds["params.bias"] == "bool"
    assert kinds["params.kind"] == "string"
    assert kinds["ended_at"] == "timestamp[us, tz=UTC]"
    text = await rows(api, "trials")
    assert table.schema.names == list(text[0])
    assert [str(n) for n in table["number"].to_pylist()] == [r["number"] for r in text]
    values = (await parquet(api, "reports"))["value"].to_pylist()
    assert values[:2] == [0.5, 0.25]
    assert math.isnan(values[2])


async def test_pages_make_one_table(api: Api) -> None:
    """A reports' page is of 100 trials, a trials' page of 500."""
    distribution = '{"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0}}'
    space = {"x": {"min": 0.0, "max": 1.0}}
    body = {"document": external(space=space, budget={"trials": 2000})}
    await api.post("/studies/import", body)
    trials = [
        {
            "state": "complete", "value": n / 1000, "params": {"x": n / 1000},
            "distributions": {"x": 0}, "steps": [1, 2], "values": [1.0, n / 1000],
            "ended_at": "2026-03-01T00:00:00Z",
        }
        for n in range(1000)
    ]  # fmt: skip
    more = {"first": 0, "distributions": [distribution], "trials": trials, "last": True}
    await api.post("/studies/loop/import", more)
    assert [r["params.x"] for r in await rows(api, "trials")] == [
        repr(n / 1000) for n in range(1000)
    ]
    reports = await rows(api, "reports")
    assert [int(r["trial"]) for r in reports] == [n for n in range(1000) for _ in range(2)]
    assert (await parquet(api, "trials")).num_rows == 1000
    assert (await parquet(api, "reports")).num_rows == 2000


async def test_a_study_without_trials_has_empty_tables(api: Api) -> None:
    await api.post("/studies", external(space={"x": {"value": 1.0}}))
    for table in ("trials", "reports"):
        assert await rows(api, table) == []
        assert (await parquet(api, table)).num_rows == 0


async def test_without_pyarrow_the_error_says_how_to_get_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/studies", external())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = "/studies/loop/export?format=parquet"
    body = await api.refused(422, "invalid-input", "GET", path)
    assert "pip install 'tuner[parquet]'" in body["detail"]


async def test_a_table_goes_with_csv_and_parquet_alone(api: Api) -> None:
    await api.post("/studies", external())
    for query in ("table=trials", "format=json&table=reports", "format=csv&table=x"):
        await api.refused(422, "invalid-input", "GET", f"/studies/loop/export?{query}")
