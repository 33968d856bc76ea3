"""Leasing: one holder a trial, limits kept, the next study by the queue's order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api import leases, reaper
from tests.api.node import Clock, document, serve, slug
from tuner.access import BUILT_IN_ADMIN
from tuner.decision import Outcome
from tuner.spec import StudySpec, check
from tuner.trial import EndReason, Origin, StudyState, TrialState
from tuner.wire import AcquireLeases, Leases

pytestmark = pytest.mark.anyio
WORK = {"run": {"entrypoint": "pkg.train:main"}}
IDLE = Leases(leases=[], idle=True, heartbeat_s=10.0)


async def test_the_same_key_gets_the_same_leases(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**WORK)
        body = {"worker_id": await node.register(), "n": 3, "wait_s": 0}
        first = await node.post("/leases", body, key="k1")
        again = await node.post("/leases", body, key="k1")
        other = await node.post("/leases", body, key="k2")
        assert len(first.json()["leases"]) == 3
        assert again.content == first.content
        assert {x["number"] for x in other.json()["leases"]} == {3, 4, 5}
        changed = await node.post("/leases", {**body, "n": 2}, key="k1")
        assert (changed.status_code, slug(changed.json()["type"])) == (422, "invalid-input")


async def test_a_grant_tells_all_a_worker_needs(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(budget={"trials": 3, "steps": 9}, **WORK)
        (grant,) = (await node.acquire(await node.register())).leases
        trial = node.trial(grant)
        assert (grant.study_id, grant.study, grant.number, grant.attempt) == (study.id, "s", 0, 1)
        assert (grant.params, grant.seed, grant.steps) == (trial.params, trial.seed, 9)
        assert (grant.metric, grant.mode) == ("val_loss", "min")
        assert (grant.lr_factor, grant.resume) == (1.0, None)
        assert grant.run["entrypoint"] == "pkg.train:main"
        assert trial.state is TrialState.RUNNING


async def test_a_study_starts_with_its_first_lease(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        assert (await node.submit()).state is StudyState.QUEUED
        await node.ask()
        assert (await node.study("s")).state is StudyState.RUNNING


async def test_priority_then_fair_share_then_age(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        for name, project, priority in (
            ("old", "a", 0),
            ("young", "a", 0),
            ("other", "b", 0),
            ("urgent", "a", 9),
        ):
            queue = {"project": project, "priority": priority}
            await node.submit(name=name, queue=queue, budget={"trials": 2, "parallel": 2}, **WORK)
        reply = await node.acquire(await node.register(), n=1)
        names = [g.study for g in reply.leases]
        while reply.leases:
            reply = await node.acquire(await node.register(), n=1)
            names += [g.study for g in reply.leases]
        # `a` runs two when `b` comes, which has the smaller share; then age decides
        assert names == ["urgent", "urgent", "other", "other", "old", "old", "young", "young"]


async def test_waiting_trials_go_first_those_begun_before_all(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        begun = await node.ask()
        await node.post("/studies/s/trials", {"params": {"x": 0.5}})
        await node.release(begun)
        again, enqueued, fresh = [await node.ask() for _ in range(3)]
        assert (again.number, again.attempt) == (begun.number, 2)
        assert (enqueued.number, enqueued.params["x"]) == (1, 0.5)
        assert fresh.number == 2
        origins = [t.origin for t in node.services.ledger.memory.trials(begun.study_id)]
        assert origins == [Origin.SAMPLED, Origin.ENQUEUED, Origin.SAMPLED]


async def test_a_long_poll_wakes_when_a_study_comes(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        worker = await node.register()
        poll = asyncio.create_task(node.acquire(worker, wait_s=50))
        while not node.services.ledger._subscribers:
            await asyncio.sleep(0)
        await node.submit(**WORK)
        assert [g.number for g in (await poll).leases] == [0]


async def test_a_long_poll_wakes_when_a_place_is_free(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(budget={"trials": 2, "parallel": 1}, **WORK)
        worker = await node.register()
        (first,) = (await node.acquire(worker)).leases
        assert await node.acquire(worker) == IDLE.model_copy(update={"idle": False})
        poll = asyncio.create_task(node.acquire(worker, wait_s=50))
        await node.finish(first, value=1.0)
        assert [g.number for g in (await poll).leases] == [1]


async def test_a_caller_that_left_gets_no_trial(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**WORK)
        worker = await node.register()
        asked: list[bool] = []

        async def gone() -> bool:
            asked.append(True)
            return True

        poll = leases.Poll(50.0, None, gone, BUILT_IN_ADMIN, lambda: True)
        reply = await leases.acquire(node.services, AcquireLeases(worker_id=worker), poll)
        assert (Leases.model_validate_json(bytes(reply.body)).leases, asked) == ([], [True])
        assert node.trials(study) == []


async def test_a_study_that_is_over_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        await node.http.patch("/api/v1/studies/s", json={"state": "cancelled"})
        reply = await node.post("/studies/s/ask", {"wait_s": 60})
        assert Leases.model_validate(reply.json()) == IDLE


async def test_a_long_poll_ends_when_the_server_stops(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        worker = await node.register()
        poll = asyncio.create_task(node.acquire(worker, wait_s=50))
        await asyncio.sleep(0)
        node.services.closing.set()
        assert (await poll).leases == []


@pytest.mark.parametrize(
    ("change", "idle"),
    [
        ({"run": {"entrypoint": "pkg.training:main"}}, True),  # not allowed here
        ({"run": {"task": "digits-cnn"}, "space": {"lr": {"min": 0.1, "max": 1.0}}}, True),
        ({"run": "external"}, True),  # never given to workers
        ({**WORK, "queue": {"labels": {"gpu": "a100"}}}, True),
        (WORK, False),
    ],
)
async def test_idle_says_that_nothing_is_there_for_this_worker(
    tmp_path: Path, change: dict[str, object], idle: bool
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**change)
        reply = await node.acquire(await node.register())
        assert (reply.idle, reply.leases == []) == (idle, idle)


async def test_paused_and_stopped_studies_lease_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**WORK)
        worker = await node.register()
        (held,) = (await node.acquire(worker)).leases
        patch = node.http.patch
        await patch("/api/v1/studies/s", json={"state": "paused"})
        assert await node.acquire(worker) == IDLE
        await patch("/api/v1/studies/s", json={"state": "running"})
        assert len((await node.acquire(worker)).leases) == 1
        await patch("/api/v1/studies/s", json={"state": "stopped"})
        assert await node.acquire(worker) == IDLE
        assert (await node.study("s")).state is StudyState.RUNNING
        assert (await node.release(held)).outcome is Outcome.CANCELLED


async def test_ask_refuses_what_workers_run(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**WORK)
        reply = await node.post("/studies/s/ask", {})
        assert (reply.status_code, slug(reply.json()["type"])) == (409, "study-state")
        reply = await node.post("/leases", {"worker_id": "w-unknown-1"})
        assert (reply.status_code, slug(reply.json()["type"])) == (404, "not-found")


async def test_a_grid_ends_with_its_last_point(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(
            space={"n": {"min": 1, "max": 3}}, sampler={"name": "grid"}, budget={"trials": 50}
        )
        for _ in range(3):
            await node.finish(await node.ask(), value=1.0)
        reply = await node.post("/studies/s/ask", {})
        assert Leases.model_validate(reply.json()) == IDLE
        assert [t.params["n"] for t in node.trials(study)] != []
        shown = await node.study("s")
        assert (shown.state, shown.counts["complete"]) == (StudyState.FINISHED, 3)


async def test_the_hours_end_a_study(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        await node.submit(budget={"trials": 50, "hours": 1.0})
        held = await node.ask()
        clock.seconds = 3601
        await reaper.sweep(node.services)
        reply = await node.post("/studies/s/ask", {})
        assert Leases.model_validate(reply.json()) == IDLE
        await node.finish(held, value=2.0)
        shown = await node.study("s")
        assert (shown.state, shown.ended_why) == (StudyState.FINISHED, EndReason.BUDGET)


async def test_too_many_failures_end_a_study(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(budget={"trials": 50, "max_failures": 2})
        for _ in range(2):
            after = await node.finish(await node.ask(), outcome="failed", error="E", retry=False)
            assert after.outcome is Outcome.FAILED
        shown = await node.study("s")
        assert (shown.state, shown.ended_why) == (StudyState.FINISHED, EndReason.FAILURES)


def test_the_documents_of_these_tests_are_valid() -> None:
    assert isinstance(check(document()), StudySpec)
