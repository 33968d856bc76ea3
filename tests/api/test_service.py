"""Workers out of service, studies they avoid, and trials that failed with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import problem
from tests.api.node import Clock, Node, serve
from tests.api.people import as_who, token
from tuner.access import Role
from tuner.wire import LeaseGrant, WorkerView

pytestmark = pytest.mark.anyio
RUN = {"entrypoint": "pkg.train:main"}


async def beat(node: Node, worker: str, trouble: str) -> None:
    reply = await node.post("/heartbeats", {"worker_id": worker, "trouble": trouble})
    assert reply.status_code == 200, reply.text


async def shown(node: Node) -> list[WorkerView]:
    reply = await node.http.get("/api/v1/workers")
    return [WorkerView.model_validate(one) for one in reply.json()["items"]]


async def leased(node: Node, worker: str, **more: Any) -> list[tuple[str, int]]:
    body = {"worker_id": worker, "n": 1, "wait_s": 0.0, **more}
    reply = await node.post("/leases", body)
    assert reply.status_code == 200, reply.text
    return [(one["study"], one["number"]) for one in reply.json()["leases"]]


async def failed(node: Node, grant: LeaseGrant) -> None:
    await node.finish(grant, outcome="failed", error="x")


async def test_a_worker_says_why_it_is_out_of_service_and_when_it_is_back(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        worker = await node.register()
        await beat(node, worker, "3 trials failed \x1b[31m")
        assert [one.trouble for one in await shown(node)] == ["3 trials failed "]
        metrics = await node.http.get("/metrics")
        assert "tuner_workers_out_of_service 1.0" in metrics.text
        assert await leased(node, worker) == []  # asking for leases says nothing
        assert (await shown(node))[0].trouble
        await beat(node, worker, "")
        assert [one.trouble for one in await shown(node)] == [""]
        refused = await node.post("/heartbeats", {"worker_id": worker, "trouble": "x" * 501})
        problem(refused, 422, "invalid-input")


async def test_who_reaches_one_project_learns_nothing_of_anothers_trials(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        worker = await node.register()
        await beat(node, worker, "3 trials failed, the last theirs #0: ValueError: private")
        viewer = await token(node, Role.VIEWER, "v", project="mine")
        items = (await as_who(node, viewer, "GET", "/workers")).json()["items"]
        assert [one["trouble"] for one in items] == ["its trials failed"]


async def test_a_study_that_is_avoided_is_not_leased(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        first = await node.submit(name="one", run=RUN)
        await node.submit(name="two", run=RUN)
        worker = await node.register()
        assert await leased(node, worker, avoid=[first.id]) == [("two", 0)]
        assert await leased(node, worker) == [("one", 0)]
        body = {"worker_id": worker, "avoid": [-1]}
        problem(await node.post("/leases", body), 422, "invalid-input")


async def test_a_failed_trial_goes_to_another_worker(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        await node.submit(run=RUN)
        bad, good = await node.register(name="bad"), await node.register(name="good")
        (grant,) = (await node.acquire(bad)).leases
        await failed(node, grant)
        assert await leased(node, bad) == [("s", 1)]
        assert await leased(node, good) == [("s", 0)]


@pytest.mark.parametrize("why", ["alone", "not allowed", "silent", "out of service"])
async def test_it_comes_back_where_no_other_worker_may_take_it(tmp_path: Path, why: str) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        await node.submit(run=RUN)
        if why != "alone":
            other = await node.register(allow=["other:*"] if why == "not allowed" else ["pkg.*:*"])
        if why == "silent":
            clock.seconds += 100
        if why == "out of service":
            await beat(node, other, "3 trials failed")
        worker = await node.register()
        (grant,) = (await node.acquire(worker)).leases
        await failed(node, grant)
        assert await leased(node, worker) == [("s", 0)]


async def test_it_comes_back_where_there_is_nothing_else_to_do(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        await node.submit(run=RUN, budget={"trials": 1})
        worker, _ = await node.register(), await node.register()
        (grant,) = (await node.acquire(worker)).leases
        await failed(node, grant)
        assert await leased(node, worker) == [("s", 0)]


@pytest.mark.parametrize("outcome", ["complete", "failed", "oom"])
async def test_the_memory_used_is_in_the_event_of_the_end(tmp_path: Path, outcome: str) -> None:
    async with serve(tmp_path, Clock()) as node:
        await node.submit()
        grant = await node.ask()
        value = 1.0 if outcome == "complete" else None
        await node.finish(grant, outcome=outcome, value=value, error="", host_memory=12_345)
        events = (await node.http.get("/api/v1/studies/s/events")).json()["items"]
        found = [e["data"] for e in events if e["kind"] in ("ended", "retried")]
        assert [data["host_memory"] for data in found] == [12_345]
        reply = await node.try_finish(grant, outcome=outcome, host_memory=-1)
        problem(reply, 422, "invalid-input")
