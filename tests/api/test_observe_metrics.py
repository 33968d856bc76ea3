"""What Prometheus reads: every metric is documented, and counts what its page says."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.limits.settings import Limits, Quota
from api.observe.metrics import Metrics
from api.observe.refusals import KINDS
from api.standby import Front
from tests.api.conftest import Api, external, train
from tests.api.in_process import API, TOKEN, URL, settings_in
from tests.api.node import Node, document, serve

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
Sample = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def read(http: httpx.AsyncClient) -> Sample:
    """Return all samples by name and labels."""
    reply = await http.get("/metrics")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def value(samples: Sample, name: str, **labels: str) -> float:
    return samples.get((f"tuner_{name}", frozenset(labels.items())), 0.0)


async def test_a_study_is_counted(api: Api) -> None:
    await api.post("/studies", external(policies=[{"name": "halve_on_plateau", "patience": 0}]))
    await train(api, "loop", [0.9, 0.9, 0.7])
    await train(api, "loop", [0.5], finish=False)
    await api.http.get(f"{API}/studies/none")
    found = await read(api.http)
    assert value(found, "reports_total", result="accepted") == 4
    assert value(found, "decisions_total", kind="continue") == 4
    assert value(found, "decisions_total", kind="halve") == 1
    assert value(found, "trials_ended_total", outcome="complete") == 1
    assert value(found, "events_total", kind="leased") == 2
    assert value(found, "leases") == value(found, "trials", state="running") == 1
    assert value(found, "studies", state="running") == 1
    assert value(found, "commit_seconds_count") == value(found, "commit_commands_count") >= 7
    assert value(found, "owner") == 1
    route = {"route": "/studies/{study}", "method": "GET"}
    assert value(found, "http_requests_total", **route, status="404") == 1
    assert value(found, "http_request_seconds_count", **route) == 1


async def test_a_stop_and_a_refusal_are_counted_by_kind(api: Api) -> None:
    await api.post("/studies", external(policies=[{"name": "divergence"}]))
    lease = await train(api, "loop", [0.5])
    report = {"lease": lease["lease"], "attempt": 1, "step": 2, "value": 1.0}
    await api.post("/reports", {"reports": [report]})
    held = await train(api, "loop", [], finish=False)
    report = {"lease": held["lease"], "attempt": 1, "step": 1, "value": None}
    await api.post("/reports", {"reports": [report | {"status": "diverged"}]})
    found = await read(api.http)
    assert value(found, "reports_total", result="trial-ended") == 1
    assert value(found, "decisions_total", kind="diverged") == 1


async def test_asks_tell_where_their_points_came_from(api: Api) -> None:
    await api.post("/studies", external(sampler={"name": "tpe", "seed": 1}))
    for _ in range(6):
        await train(api, "loop", [0.5])
    trials = (await api.get("/studies/loop/trials"))["items"]
    sampled = sum(trial["origin"] == "sampled" for trial in trials)
    found = await read(api.http)
    made = [value(found, "ask_seconds_count", source=s) for s in ("ready", "computed")]
    assert sum(made) == sampled > 0


async def test_what_limits_refuse_is_counted_by_kind(tmp_path: Path) -> None:
    limits = Limits(
        rate=0.0, worker_rate=0.001, worker_burst=1.0, wrong_tokens=1, polls_each=0,
        streams_each=0, quotas={"*": Quota(queued=1, artifact_bytes=3)},
    )  # fmt: skip
    async with serve(tmp_path, limits=limits) as node:
        assert set(refusals(node)) == set(KINDS)
        assert set(refusals(node).values()) == {0.0}
        await node.submit()
        body = document(name="second")
        assert (await node.post("/studies", body)).status_code == 409
        stream = {"Accept": "text/event-stream"}
        assert (await node.http.get(f"{API}/events", headers=stream)).status_code == 429
        lease = (await node.ask()).lease
        assert (await node.post("/heartbeats", {"leases": []})).status_code == 429
        for status in (401, 429):
            wrong = {"Authorization": "Bearer wrong"}
            assert (await node.http.get(f"{API}/studies", headers=wrong)).status_code == status
        assert refusals(node) == dict.fromkeys(KINDS, 0.0) | dict.fromkeys(
            ("quota_queued", "event_streams", "wrong_tokens", "worker_requests"), 1.0
        )
    limits = replace(limits, worker_rate=0.0)
    async with serve(tmp_path, limits=limits) as node:
        query = f"attempt=1&sha256={hashlib.sha256(b'four').hexdigest()}"
        octets = {"Content-Type": "application/octet-stream"}
        put = await node.http.put(
            f"{API}/leases/{lease}/checkpoints/1?{query}", content=b"four", headers=octets
        )
        assert put.status_code == 409, put.text
        await node.http.patch(f"{API}/studies/s", json={"state": "paused"})
        assert (await node.post("/studies/s/ask", {"wait_s": 5.0})).status_code == 429
        assert refusals(node) == dict.fromkeys(KINDS, 0.0) | dict.fromkeys(
            ("quota_artifact_bytes", "long_polls"), 1.0
        )
    async with serve(tmp_path, limits=Limits(rate=0.001, rate_burst=1.0)) as node:
        for status in (200, 429):
            assert (await node.http.get(f"{API}/studies")).status_code == status
        assert refusals(node)["requests"] == 1.0


def refusals(node: Node) -> dict[str, float]:
    """Return what is counted of refusals, by kind; reading it is no request."""
    families = text_string_to_metric_families(node.services.metrics.text().decode())
    (family,) = (f for f in families if f.name == "tuner_refusals")
    return {sample.labels["kind"]: sample.value for sample in family.samples}


async def test_strangers_can_not_make_labels(api: Api) -> None:
    async def labels() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return {key for key in await read(api.http) if key[0].startswith("tuner_http_requests_to")}

    await api.http.get("/nothing/0")
    await api.http.request("BREW", "/nothing/0")
    before = await labels() | await labels()
    for i in range(30):
        await api.http.get(f"/nothing/{i}")
        await api.http.request(f"BREW{i}", f"/nothing/{i}")
    assert await labels() == before


async def test_metrics_need_a_token(api: Api) -> None:
    reply = await api.http.get("/metrics", headers={"Authorization": "Bearer wrong"})
    assert reply.status_code == 401


async def test_the_page_lists_every_metric(api: Api) -> None:
    await api.http.get(f"{API}/studies")
    text = (await api.http.get("/metrics")).text
    names = {family.name for family in text_string_to_metric_families(text)}
    ours = {name for name in names if name.startswith("tuner_") and not name.endswith("_created")}
    listed = re.findall(r"^\| `(tuner_\w+)`", PAGE.read_text(), re.MULTILINE)
    assert {name.removesuffix("_total") for name in listed} == ours
    assert len(listed) == len(set(listed))
    assert "process_resident_memory_bytes" in names


async def test_a_standby_owns_nothing(tmp_path: Path) -> None:
    front = Front(settings_in(tmp_path), Metrics())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app=front)
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as http:
        assert value(await read(http), "owner") == 0
        reply = await http.get("/readyz")
        assert reply.status_code == 503
        assert reply.headers["x-request-id"]
        assert (await http.get("/metrics", headers={"Authorization": "x"})).status_code == 401


async def test_readiness_says_what_is_missing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        assert (await node.http.get("/readyz")).json() == {"status": "ok"}
        node.services.ledger.most_waiting = 0
        node.services.closing.set()
        reply = await node.http.get("/readyz")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    reasons = ["the server is stopping", "the server is overloaded"]
    assert reply.json()["extra"]["reasons"] == reasons
