"""Each row of docs/bad-input.md, asked of the server as a stranger would ask it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import Api, external, problem
from tests.api.in_process import API

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bad-input.md"
JSON = {"Content-Type": "application/json"}


def rows() -> list[tuple[str, list[str]]]:
    """Return the page's rows: the input, and the tests that the row names."""
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 3 and "`" in cells[2]:
            found.append((cells[0], re.findall(r"`([^`]+)`", cells[2])))
    return found


def test_every_row_has_its_tests() -> None:
    assert len(rows()) >= 22
    for row, names in rows():
        assert names, row
        for name in names:
            file, _, test = name.partition("::")
            source = (ROOT / "tests" / file).read_text("utf-8")
            assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), name


def test_every_test_here_has_its_row() -> None:
    named = {name for _, names in rows() for name in names}
    source = Path(__file__).read_text("utf-8")
    here = re.findall(r"^async def (test_\w+)\(", source, re.MULTILINE)
    assert {f"api/test_bad_input.py::{name}" for name in here} <= named


async def leased(api: Api, **changes: Any) -> dict[str, Any]:
    """Submit a study, ask for a trial, and return what each of its reports says."""
    await api.post("/studies", external(**changes))
    lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    return {"lease": lease["lease"], "attempt": lease["attempt"]}


def text(held: dict[str, Any], **raw: str) -> bytes:
    """Return the body of one report, with some values as they stand in JSON."""
    members = [f'"{k}": {json.dumps(v)}' for k, v in held.items() if k not in raw]
    members += [f'"{k}": {v}' for k, v in raw.items()]
    return f'{{"reports": [{{{", ".join(members)}}}]}}'.encode()


async def reported(api: Api, body: bytes) -> httpx.Response:
    return await api.http.post(f"{API}/reports", content=body, headers=JSON)


async def result(api: Api, held: dict[str, Any], step: int, value: float) -> dict[str, Any]:
    """Report a value and return the answer to it."""
    report = held | {"step": step, "value": value}
    answer = await api.post("/reports", {"reports": [report]})
    found: dict[str, Any] = answer["results"][0]
    return found


def refused(response: httpx.Response) -> dict[str, Any]:
    """Return the problem document of a 400 or 422."""
    status = response.status_code
    slug = {400: "malformed", 422: "invalid-input"}[status]
    found: dict[str, Any] = problem(response, status, slug)
    return found


async def submitted(api: Api, **changes: Any) -> dict[str, Any]:
    """Submit a study that is refused, and return the problem document."""
    body = external(**changes)
    response = await api.http.post(f"{API}/studies", json=body)
    found: dict[str, Any] = problem(response, 422, "invalid-input")
    return found


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
async def test_a_metric_that_is_no_number(api: Api, number: str) -> None:
    held = await leased(api)
    refused(await reported(api, text(held, step="1", value=number)))
    metrics = f'{{"a": {number}}}'
    refused(await reported(api, text(held, step="1", value="0.5", metrics=metrics)))
    assert (await api.get("/studies/loop/trials/0"))["reports"] == []


async def test_a_report_that_says_it_diverged(api: Api) -> None:
    held = await leased(api)
    said = {"step": 1, "value": None, "status": "diverged"}
    answer = await api.post("/reports", {"reports": [held | said]})
    decision = answer["results"][0]["decision"]
    assert (decision["action"], decision["outcome"]) == ("stop", "diverged")


@pytest.mark.parametrize(
    "step", ['"7"', "true", "-1", "1.5", "null", str(2**63), str(2**31), "9" * 5000, "[1]"]
)
async def test_a_step_that_is_none(api: Api, step: str) -> None:
    body = text(await leased(api), step=step, value="0.5")
    problem(await reported(api, body), 422, "invalid-input")


@pytest.mark.parametrize(
    "body",
    [
        b'{"reports": [], "reports": []}',
        b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000,
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "a\x00b"}',
        b"\xff\xfe",
    ],
)
async def test_json_that_is_not_plain(api: Api, body: bytes) -> None:
    for path in ("/reports", "/studies", "/leases", "/heartbeats"):
        refused(await api.http.post(API + path, content=body, headers=JSON))


@pytest.mark.parametrize(
    "body",
    ["name: a\nname: b", "name: .nan\nbudget: {hours: .inf}", "a: " + "9" * 5000,
     "[" * 5000, 'name: "a\\0b"', 'name: "\\ud800"'],
)  # fmt: skip
async def test_yaml_that_is_not_plain(api: Api, body: str) -> None:
    headers = {"Content-Type": "application/yaml"}
    refused(await api.http.post(f"{API}/studies", content=body, headers=headers))


async def test_an_unknown_field(api: Api) -> None:
    await api.post("/studies", external())
    for method, path, body, field, nearest in (
        ("POST", "/studies", external("other", bugdet={}), "bugdet", "budget"),
        ("PATCH", "/studies/loop", {"prioritty": 1}, "prioritty", "priority"),
        ("POST", "/studies/loop/extend", {"trails": 1}, "trails", "trials"),
        ("POST", "/studies/loop/trials", {"parms": {}}, "parms", "params"),
        ("POST", "/leases", {"worker": "w-1", "n": 1}, "worker", "worker_id"),
    ):
        found = await api.refused(422, "invalid-input", method, path, json=body)
        messages = {f["where"]: f["message"] for f in found["faults"]}
        assert f"did you mean '{nearest}'" in messages[field], (path, messages)


async def test_bodies_of_another_kind(api: Api) -> None:
    path = f"{API}/studies"
    form = await api.http.post(path, data={"name": "x"})
    problem(form, 415, "unsupported-media")
    packed = JSON | {"Content-Encoding": "gzip"}
    problem(
        await api.http.post(path, content=b"\x1f\x8b", headers=packed), 415, "unsupported-media"
    )
    sent = 0

    async def large() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 100_000
            yield b" " * 100_000

    problem(await api.http.post(path, content=large(), headers=JSON), 413, "too-large")
    assert sent < 3_000_000


async def test_reports_late_again_and_after_the_end(api: Api) -> None:
    held = await leased(api)
    first = await result(api, held, 3, 0.5)
    assert await result(api, held, 3, 0.5) == first
    late = await result(api, held, 1, 0.9)
    assert late["decision"]["action"] == "continue"
    other = await result(api, held, 3, 0.4)
    assert (other["problem"]["status"], other["problem"]["type"]) == (
        409,
        "/problems/report-mismatch",
    )
    reports = (await api.get("/studies/loop/trials/0"))["reports"]
    assert sorted((r["step"], r["value"]) for r in reports) == [(1, 0.9), (3, 0.5)]
    await api.post(f"/leases/{held['lease']}/finish", {"attempt": 1})
    after = await result(api, held, 4, 0.4)
    assert (after["problem"]["status"], after["problem"]["type"]) == (409, "/problems/trial-ended")


async def test_finishing_twice_or_without_a_value(api: Api) -> None:
    held = await leased(api)
    path, end = f"/leases/{held['lease']}/finish", {"attempt": 1}
    await api.refused(422, "invalid-input", "POST", path, json=end)
    await result(api, held, 1, 0.5)
    assert await api.post(path, end) == await api.post(path, end)
    await api.refused(409, "trial-ended", "POST", path, json=end | {"outcome": "failed"})


async def test_a_stale_attempt(api: Api) -> None:
    held = await leased(api)
    lease = held["lease"]
    await api.post(f"/leases/{lease}/release", {"attempt": 1, "reason": "preempted"})
    stale = await result(api, held, 1, 0.5)
    assert stale["problem"]["type"] == "/problems/stale-attempt"
    end = {"attempt": 1, "value": 0.5}
    await api.refused(409, "stale-attempt", "POST", f"/leases/{lease}/finish", json=end)


@pytest.mark.parametrize(
    "parameter",
    [
        {"min": 0, "max": 1.0, "log": True},
        {"min": -1, "max": 1.0, "log": True},
        {"min": 2, "max": 1},
        {"min": 0, "max": 10, "step": 3},
        {"min": 0, "max": 10**30},
        {"min": 0, "max": 2**60},
        {"min": "0", "max": 1},
        {"min": True, "max": 3},
        {"min": 0},
        {},
    ],
)
async def test_a_range_that_is_none(api: Api, parameter: dict[str, Any]) -> None:
    found = await submitted(api, space={"x": parameter})
    digits = len(str(parameter.get("max"))) > 20
    assert digits or any(f["where"].startswith("space.x") for f in found["faults"])


@pytest.mark.parametrize("bound", ["NaN", "Infinity", "1e999", "-1e999"])
async def test_a_bound_that_is_no_number(api: Api, bound: str) -> None:
    body = json.dumps(external(space={"x": {"min": 0, "max": 1.25}})).replace("1.25", bound)
    refused(await api.http.post(f"{API}/studies", content=body, headers=JSON))


@pytest.mark.parametrize(
    "values", [[], [1, 1.0], [1, True], [0, False], ["a", "a"], [None], [[1]], ["x" * 201]]
)
async def test_choices_that_are_none(api: Api, values: list[Any]) -> None:
    await submitted(api, space={"x": {"values": values}})


async def test_a_million_choices(api: Api) -> None:
    body = external(space={"x": {"values": list(range(1_000_000))}})
    response = await api.http.post(f"{API}/studies", json=body)
    assert response.status_code in (413, 422)
    await submitted(api, space={"x": {"values": list(range(1001))}})


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"space": {"a": {"values": [1], "when": {"b": 1}},
                    "b": {"values": [1], "when": {"a": 1}}}}, "circle: "),
        ({"space": {"a": {"values": [1], "when": {"b": 1}}}}, "'b'"),
        ({"space": {"a": {"values": [1]}, "b": {"value": 1, "when": {"a": 2}}}}, "a=2"),
        ({"constraints": ["lr <"]}, "constraints.0"),
        ({"constraints": ["lr < 1", "__import__('os')"]}, "constraints.1"),
        ({"constraints": ["depth < 1"]}, "constraints.0"),
    ],
)  # fmt: skip
async def test_conditions_and_constraints_that_are_none(
    api: Api, document: dict[str, Any], named: str
) -> None:
    assert named in json.dumps(await submitted(api, **document))


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"sampler": {"name": "magic"}}, "tpe"),
        ({"pruner": {"name": "magic"}}, "asha"),
        ({"policies": [{"name": "magic"}]}, "halve_on_plateau"),
    ],
)
async def test_an_unknown_method_comes_with_the_valid_ones(
    api: Api, document: dict[str, Any], valid: str
) -> None:
    assert valid in (await submitted(api, **document))["faults"][0]["message"]


async def test_an_entrypoint_that_no_worker_allows(api: Api) -> None:
    run = {"entrypoint": "pkg.train:main"}
    await api.post("/studies", external(run=run))
    worker = {"name": "w", "host": "h", "slots": 1, "allow": ["other.*"], "tasks": []}
    registered = await api.post("/workers", worker)
    ask = {"worker_id": registered["worker_id"], "n": 1}
    assert (await api.post("/leases", ask))["leases"] == []
    assert "pkg.train:main" in (await api.get("/studies/loop"))["note"]


async def test_a_name_that_is_taken(api: Api) -> None:
    first = await api.post("/studies", external())
    body = await api.refused(409, "duplicate-name", "POST", "/studies", json=external())
    assert body["extra"]["study_id"] == first["id"]


@pytest.mark.parametrize(
    "name", ["x" * 5000, "", "a\tb", "a\u200bb", "a\u202eb", "a\u2066b", "a\u0007", "7", " a"]
)
async def test_a_name_that_is_none(api: Api, name: str) -> None:
    await submitted(api, name=name)


async def test_markup_comes_back_as_text(api: Api) -> None:
    bad = "<img src=x onerror=alert(1)>"
    await api.post("/studies", external(bad, space={"x": {"values": [bad, "y"]}}))
    for path in ("/studies/1", f"/studies/{bad}x", f"/studies?state={bad}", f"/{bad}"):
        response = await api.http.get(API + path)
        assert response.headers["content-type"] in ("application/json", "application/problem+json")
        assert response.headers["x-content-type-options"] == "nosniff"
    assert (await api.get("/studies/1"))["name"] == bad


@pytest.mark.parametrize(
    "query",
    ["sort=name;DROP TABLE studies", "sort=1", "state=' OR 1=1 --", "limit=1000000000",
     "limit=0", "cursor=x", "cursor=9999", "cursor='--"],
)  # fmt: skip
async def test_odd_filters_orders_limits_and_cursors(api: Api, query: str) -> None:
    await api.post("/studies", external())
    for path in ("/studies", "/studies/loop/trials"):
        await api.refused(422, "invalid-input", "GET", f"{path}?{query}")


async def test_too_many_trials(api: Api) -> None:
    await submitted(api, budget={"trials": 10**12})
    await api.post("/studies", external(budget={"trials": 1_000_000}))
    assert len((await api.get("/studies/loop/trials"))["items"]) <= 100
    more = {"trials": 10**12}
    await api.refused(422, "invalid-input", "POST", "/studies/loop/extend", json=more)
