"""The fleet: registering, being alive, what each runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from api import reaper
from tests.api.node import Clock, serve
from tuner.trial import TrialState
from tuner.wire import WorkerPage

pytestmark = pytest.mark.anyio


async def test_a_worker_is_shown_with_what_it_runs(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(run={"entrypoint": "pkg.train:main"})
        worker = await node.register(name="node-1", gpus=["0", "1"], labels={"gpu": "a100"})
        await node.acquire(worker, n=2)
        page = WorkerPage.model_validate((await node.http.get("/api/v1/workers")).json())
        (shown,) = page.items
        assert (shown.worker_id, shown.name, shown.alive) == (worker, "node-1", True)
        assert (shown.gpus, shown.labels, shown.allow) == (
            ["0", "1"],
            {"gpu": "a100"},
            ["pkg.train:*"],
        )
        assert shown.running == ["s/0", "s/1"]


async def test_a_command_is_leased_to_who_allows_it(tmp_path: Path) -> None:
    run = {"command": ["python", "train.py", "--x={x}"], "env": {"MODE": "fast"}}
    async with serve(tmp_path) as node:
        await node.submit(run=run)
        stranger = await node.register(name="stranger", allow_commands=["python other.py *"])
        assert (await node.acquire(stranger)).leases == []
        note = (await node.http.get("/api/v1/studies/s")).json()["note"]
        assert note == "no worker allows the command python train.py --x={x}"
        friend = await node.register(
            name="friend", allow_commands=["python train.py *"], allow_env=["MODE"]
        )
        (grant,) = (await node.acquire(friend)).leases
        assert grant.run["command"] == run["command"]
        page = WorkerPage.model_validate((await node.http.get("/api/v1/workers")).json())
        shown = page.items[0]
        assert (shown.allow_commands, shown.allow_env) == (["python train.py *"], ["MODE"])


async def test_a_pattern_of_commands_must_be_one(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        body = {"name": "w", "host": "h", "slots": 1, "allow_commands": ["python 'train.py"]}
        reply = await node.post("/workers", body)
        assert reply.status_code == 422
        assert "cut into words" in reply.json()["detail"]


async def test_a_worker_is_told_the_terms(tmp_path: Path) -> None:
    async with serve(tmp_path, lease_s=12.0, heartbeat_s=4.0) as node:
        reply = await node.post("/workers", {"name": "w", "host": "h", "slots": 1})
        assert (reply.status_code, reply.json()["lease_s"], reply.json()["heartbeat_s"]) == (
            201,
            12,
            4,
        )


async def test_alive_is_who_was_heard_within_a_lease(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, lease_s=30.0) as node:
        worker = await node.register()

        async def alive() -> bool:
            page = WorkerPage.model_validate((await node.http.get("/api/v1/workers")).json())
            return page.items[0].alive

        clock.seconds = 31
        assert not await alive()
        assert (await node.beat(worker=worker)).known
        assert await alive()


async def test_who_signs_off_is_gone_and_its_lease_runs_out(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, lease_s=30.0) as node:
        await node.submit(run={"entrypoint": "pkg.train:main"})
        worker, other = await node.register(), await node.register()
        (grant,) = (await node.acquire(worker)).leases
        path = f"/api/v1/workers/{worker}"
        assert (await node.http.delete(path)).status_code == 204
        page = WorkerPage.model_validate((await node.http.get("/api/v1/workers")).json())
        assert [w.worker_id for w in page.items] == [other]
        assert (await node.http.delete(path)).status_code == 404
        assert (await node.beat(worker=worker)).known is False
        assert node.trial(grant).state is TrialState.RUNNING
        clock.seconds = 30.0
        await reaper.sweep(node.services)
        assert node.trial(grant).state is TrialState.WAITING


async def test_beats_are_stored_at_most_once_a_heartbeat(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, heartbeat_s=10.0) as node:
        worker = await node.register()
        seen = []
        for seconds in (1, 5, 8, 10, 12, 20):
            clock.seconds = seconds
            await node.beat(worker=worker)
            seen.append(node.services.ledger.memory.worker(worker).seen_at.second)
        assert seen == [0, 0, 0, 10, 10, 20]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "w", "host": "h", "slots": 0},
        {"name": "w", "host": "h", "slots": "4"},
        {"name": "w\u202e", "host": "h", "slots": 1},
        {"name": "w", "host": "h", "slots": 1, "gpu": "a100"},
        {"name": "w", "host": "h"},
    ],
)
async def test_what_is_no_worker_is_refused(tmp_path: Path, body: dict[str, object]) -> None:
    async with serve(tmp_path) as node:
        assert (await node.post("/workers", body)).status_code == 422
