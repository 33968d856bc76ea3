"""Leasing by GPUs: what fits, what is kept for a large trial, what an oom changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.drains import Drains
from tests.api.node import Clock, Node, serve, slug
from tuner.decision import Outcome
from tuner.trial import EventKind, TrialState
from tuner.wire import LeaseGrant, Leases

pytestmark = pytest.mark.anyio
ENTRY = "pkg.train:main"
MORE: dict[str, Any] = {"budget": {"trials": 50}}


def run(**keys: Any) -> dict[str, Any]:
    return {"run": {"entrypoint": ENTRY, **keys}}


async def acquire(
    node: Node, worker: str, free: list[float], n: int = 8, **more: Any
) -> list[LeaseGrant]:
    """Ask with so much of each GPU free, and all homes."""
    homes = more.pop("homes", list(range(8)))
    body = {
        "worker_id": worker, "n": n, "wait_s": 0, "free": {"gpus": free, "homes": homes, **more},
    }  # fmt: skip
    reply = await node.post("/leases", body)
    assert reply.status_code == 200, reply.text
    return Leases.model_validate_json(reply.content).leases


async def node_of(node: Node, gpus: int = 2, slots: int = 8) -> str:
    return await node.register(slots=slots, gpus=[f"gpu {n}" for n in range(gpus)])


@pytest.mark.parametrize(
    ("keys", "free", "count"),
    [
        ({"gpus": 0.25}, [1.0, 1.0], 8),
        ({"gpus": 0.25}, [0.6, 0.3], 3),
        ({"gpus": 0.5}, [0.4, 0.4], 0),
        ({"gpus": 1}, [1.0, 0.9], 1),
        ({"gpus": 2}, [1.0, 1.0], 1),
        ({"gpus": 2}, [1.0, 0.9], 0),
        ({"gpus": 0}, [0.0, 0.0], 8),
        ({"processes": 2}, [1.0, 1.0], 8),  # a place each, as trials that name nothing
        ({}, [1.0, 1.0], 8),
        ({}, [0.5, 0.2], 2),  # a quarter of GPU 0 for each of its slots
    ],
)
async def test_what_fits_is_leased(
    tmp_path: Path, keys: dict[str, Any], free: list[float], count: int
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**run(**keys))
        grants = await acquire(node, await node_of(node), free)
        assert len(grants) == count
        assert all(g.run.get("gpus") == keys.get("gpus") for g in grants)


async def test_homes_that_are_taken_are_not_given_again(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**run())
        worker = await node_of(node)
        assert len(await acquire(node, worker, [1.0, 1.0], homes=[3, 3, 5])) == 2


async def test_what_a_worker_learned_counts_for_it(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**run(gpus=0.25))
        worker = await node_of(node)
        shares = [{"study_id": study.id, "share": 0.5}]
        assert len(await acquire(node, worker, [1.0, 1.0], shares=shares)) == 4
        shares = [{"study_id": study.id, "share": 0.125}]
        assert len(await acquire(node, worker, [0.25, 0.25], shares=shares)) == 4
        assert len(await acquire(node, worker, [0.25, 0.25])) == 2


async def test_a_worker_that_says_nothing_of_gpus_gets_what_names_none(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        worker = await node_of(node)
        naming: list[dict[str, Any]] = [{"gpus": 0.5}, {"gpus": 0}, {"gpus": 2}, {"processes": 2}]
        for number, keys in enumerate(naming):
            await node.submit(name=f"s{number}", **run(**keys))
        reply = await node.acquire(worker, n=4)
        assert (reply.leases, reply.idle) == ([], True)
        plain = await node.submit(name="plain", **run())
        assert {g.study_id for g in (await node.acquire(worker, n=4)).leases} == {plain.id}


@pytest.mark.parametrize(
    ("fleet", "keys", "note"),
    [
        ([2], {"gpus": 2}, ""),
        ([1, 1], {"gpus": 2}, "no worker has 2 GPUs"),
        ([0], {"gpus": 0.25}, "no worker has a GPU"),
        ([0], {"gpus": 0}, ""),
        ([0], {"processes": 2}, ""),
    ],
)
async def test_a_study_says_that_no_worker_has_its_gpus(
    tmp_path: Path, fleet: list[int], keys: dict[str, Any], note: str
) -> None:
    async with serve(tmp_path) as node:
        workers = [await node_of(node, gpus) for gpus in fleet]
        await node.submit(**run(**keys))
        view = await node.study("s")
        assert view.note.startswith(note)
        assert bool(view.note) == bool(note)
        if note:
            assert await acquire(node, workers[0], [1.0] * fleet[0]) == []


async def test_others_gpus_are_named_apart(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node_of(node, 1)
        await node.register(gpus=["a", "b"], allow=["other:*"])
        await node.submit(**run(gpus=2))
        note = (await node.study("s")).note
        assert note.startswith("no worker that could run it has 2 GPUs")


@pytest.mark.parametrize(
    ("gpus", "homes", "said"),
    [([1.0], [0], "has 2 GPUs, not 1"), ([1.0, 1.0], [8], "has 8 slots")],
)
async def test_what_is_no_part_of_the_worker_is_refused(
    tmp_path: Path, gpus: list[float], homes: list[int], said: str
) -> None:
    async with serve(tmp_path) as node:
        worker = await node_of(node)
        body = {"worker_id": worker, "wait_s": 0, "free": {"gpus": gpus, "homes": homes}}
        reply = await node.post("/leases", body)
        assert (reply.status_code, slug(reply.json()["type"])) == (422, "invalid-input")
        assert said in reply.json()["detail"]


async def test_gpus_are_kept_for_a_large_trial_that_ranks_before(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        worker = await node_of(node)
        await node.submit(name="small", **run(gpus=0.25))
        assert len(await acquire(node, worker, [1.0, 1.0], n=6)) == 6
        await node.submit(name="large", queue={"priority": 1}, **run(gpus=1))
        # the emptier GPU is kept, the other is filled up
        assert [g.study for g in await acquire(node, worker, [0.25, 0.5])] == ["small"]
        assert [g.study for g in await acquire(node, worker, [0.0, 0.75])] == []
        assert [g.study for g in await acquire(node, worker, [0.0, 1.0], n=1)] == ["large"]


async def test_nothing_is_kept_for_one_that_ranks_behind(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        worker = await node_of(node)
        await node.submit(name="small", queue={"priority": 1}, **run(gpus=0.25))
        await node.submit(name="large", **run(gpus=1))
        found = await acquire(node, worker, [0.25, 0.5])
        assert [g.study for g in found] == ["small"] * 3


async def test_no_more_workers_keep_gpus_than_there_are_trials_to_start(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        workers = [await node_of(node, gpus=1) for _ in range(3)]
        await node.submit(name="small", **run(gpus=0.25))
        budget = {"trials": 2}
        await node.submit(name="large", queue={"priority": 1}, budget=budget, **run(gpus=1))
        found = [len(await acquire(node, worker, [0.5])) for worker in workers]
        assert found == [0, 0, 2]
        # the first one is free: it starts one, and one is left to keep for
        assert [g.study for g in await acquire(node, workers[0], [1.0], n=1)] == ["large"]
        assert [len(await acquire(node, worker, [0.5])) for worker in workers[1:]] == [0, 2]


async def test_after_an_oom_beside_others_a_trial_gets_more_room(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(retry={"max": 0}, **run(gpus=0.25))
        worker = await node_of(node)
        (grant,) = await acquire(node, worker, [1.0, 1.0], n=1)
        body = {"attempt": 1, "reason": "a GPU's memory ran out", "share": 0.5}
        reply = await node.post(f"/leases/{grant.lease}/release", body)
        assert reply.json() == {"state": "waiting", "outcome": None}
        trial = node.trial(grant)
        assert (trial.share, trial.failures, trial.state) == (0.5, 0, TrialState.WAITING)
        # it goes first where it fits; where it does not, a GPU is kept for it
        found = await acquire(node, worker, [0.4, 0.4])
        assert [g.number for g in found] == [1]
        again, *_ = await acquire(node, worker, [0.5, 0.5])
        assert (again.number, again.attempt, again.share) == (0, 2, 0.5)
        events = await node.http.get("/api/v1/studies/s/events")
        (given,) = [e for e in events.json()["items"] if e["kind"] == EventKind.RELEASED]
        assert given["data"]["share"] == 0.5
        assert (await node.finish(again, outcome="oom")).outcome is Outcome.OOM


async def test_the_share_of_a_retry_outlives_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**run(gpus=0.25))
        (grant,) = await acquire(node, await node_of(node), [1.0, 1.0], n=1)
        await node.post(f"/leases/{grant.lease}/release", {"attempt": 1, "share": 0.5})
    async with serve(tmp_path) as node:
        (again,) = await acquire(node, await node_of(node), [1.0, 1.0], n=1)
        assert (again.number, again.share) == (0, 0.5)


def test_a_worker_that_asks_no_more_keeps_nothing() -> None:
    clock = Clock()
    drains = Drains(clock.monotonic)
    drains.keep("one", {7})
    assert drains.may("one", 7, 1)
    assert not drains.may("two", 7, 1)
    assert drains.may("two", 7, 2)
    assert drains.may("two", 8, 1)
    clock.seconds = 91.0
    assert drains.may("two", 7, 1)
    drains.keep("two", {7})
    drains.keep("two", set())
    assert drains.may("one", 7, 1)
    assert not drains.may("one", 7, 0)
