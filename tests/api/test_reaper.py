"""The sweep: lost leases, dead workers, hours; with a clock that moves only when told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api import reaper
from storage.store import OutcomeUnknown
from storage.transaction import Transaction
from tests.api.node import Clock, serve
from tuner.decision import Outcome
from tuner.errors import Unavailable
from tuner.trial import EndReason, EventKind, StudyState, TrialState

pytestmark = pytest.mark.anyio
LEASE = {"lease_s": 30.0, "heartbeat_s": 10.0}


async def test_a_silent_lease_is_lost_and_its_trial_runs_again(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        study = await node.submit()
        kept, silent = await node.ask(), await node.ask()
        clock.seconds = 29.9
        await reaper.sweep(node.services)
        await node.beat(kept)
        clock.seconds = 30.0
        await reaper.sweep(node.services)
        states = [t.state for t in node.trials(study)]
        assert states == [TrialState.RUNNING, TrialState.WAITING]
        assert node.trial(silent).failures == 1
        assert (await node.beat(silent)).results[0].problem is not None
        again = await node.ask()
        assert (again.number, again.attempt) == (silent.number, 2)
        events = (await node.http.get(f"/api/v1/studies/s/trials/{again.number}")).json()["events"]
        kinds = [e["kind"] for e in events]
        assert kinds[-3:] == [EventKind.LEASED, EventKind.LOST, EventKind.LEASED]


async def test_losses_count_against_the_retries(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit(retry={"max": 2})
        for lost in range(1, 4):
            grant = await node.ask()
            clock.seconds += 31
            await reaper.sweep(node.services)
            assert node.trial(grant).failures == lost
        trial = node.trial(grant)
        assert (trial.attempt, trial.outcome) == (3, Outcome.FAILED)
        assert "nothing was heard for 30 s" in trial.reason


async def test_a_restart_gives_every_lease_a_full_term(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit()
        grant = await node.ask()
    clock.seconds = 3600
    async with serve(tmp_path, clock, **LEASE) as node:
        await reaper.sweep(node.services)
        clock.seconds += 29.9
        await reaper.sweep(node.services)
        assert node.trial(grant).state is TrialState.RUNNING
        clock.seconds += 0.1
        await reaper.sweep(node.services)
        assert node.trial(grant).state is TrialState.WAITING


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_time_of_day_that_jumps_expires_nothing(tmp_path: Path, jump: float) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit()
        worker = await node.register()
        grant = await node.ask()
        clock.jump = jump
        await reaper.sweep(node.services)
        assert node.trial(grant).state is TrialState.RUNNING
        assert [w.worker_id for w in node.services.ledger.memory.workers()] == [worker]
        clock.seconds = 30.0
        await reaper.sweep(node.services)
        assert node.trial(grant).state is TrialState.WAITING


async def test_a_beat_renews_leases_though_nothing_can_be_stored(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit()
        worker = await node.register()
        grant = await node.ask()
        clock.seconds = 29.9
        node.services.ledger.most_waiting = 0
        held = {"lease": grant.lease, "attempt": grant.attempt}
        reply = await node.post("/heartbeats", {"worker_id": worker, "leases": [held]})
        assert reply.status_code == 503
        node.services.ledger.most_waiting = 100
        clock.seconds = 59.7
        await reaper.sweep(node.services)
        assert node.trial(grant).state is TrialState.RUNNING


async def test_a_beat_between_the_look_and_the_write_saves_the_lease(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit()
        grant = await node.ask()
        clock.seconds = 31
        sweep = asyncio.create_task(reaper.sweep(node.services))
        await asyncio.sleep(0)  # the sweep has handed its command in; it is not decided yet
        node.services.deadlines.renew(grant.lease)
        await sweep
        assert node.trial(grant).state is TrialState.RUNNING


async def test_a_stopping_study_finishes_when_its_last_trial_is_lost(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit()
        grant = await node.ask()
        await node.http.patch("/api/v1/studies/s", json={"state": "stopped"})
        clock.seconds = 31
        await reaper.sweep(node.services)
        assert node.trial(grant).outcome is Outcome.CANCELLED
        shown = await node.study("s")
        assert (shown.state, shown.ended_why) == (StudyState.FINISHED, EndReason.STOPPED)


async def test_the_hours_end_a_study_nobody_asks_for(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit(budget={"trials": 9, "hours": 0.5})
        await node.finish(await node.ask(), value=1.0)
        clock.seconds = 1800
        await reaper.sweep(node.services)
        shown = await node.study("s")
        assert (shown.state, shown.ended_why) == (StudyState.FINISHED, EndReason.BUDGET)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 86400.0])
async def test_a_time_of_day_that_jumps_uses_up_no_hours(tmp_path: Path, jump: float) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        study = await node.submit(budget={"trials": 9, "hours": 0.5})
        grant = await node.ask()
        clock.seconds = 600
        await node.beat(grant)
        await reaper.sweep(node.services)
        clock.jump, clock.seconds = jump, 610
        await node.beat(grant)
        await node.finish(grant, value=1.0)  # between the jump and the next look
        await reaper.sweep(node.services)
        assert (await node.study("s")).state is StudyState.RUNNING
        await node.finish(await node.ask(), value=1.0)
    async with serve(tmp_path, clock, **LEASE) as node:
        for seconds, state in ((1790, StudyState.RUNNING), (1800, StudyState.FINISHED)):
            clock.seconds = seconds
            await reaper.sweep(node.services)
            assert (await node.study(study.id)).state is state


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
@pytest.mark.parametrize("started_first", [True, False])
async def test_a_study_may_start_just_when_the_time_of_day_jumps(
    tmp_path: Path, jump: float, started_first: bool
) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit(budget={"trials": 9, "hours": 0.5})
        await reaper.sweep(node.services)
        if started_first:
            await node.finish(await node.ask(), value=1.0)
        clock.jump, clock.seconds = jump, 5
        if not started_first:
            await node.finish(await node.ask(), value=1.0)
        for seconds, state in ((1799, StudyState.RUNNING), (1805, StudyState.FINISHED)):
            clock.seconds = seconds
            await reaper.sweep(node.services)
            assert (await node.study("s")).state is state


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_start_may_be_stored_after_the_last_look_before_the_jump(
    tmp_path: Path, jump: float
) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit(budget={"trials": 9, "hours": 0.5})
        clock.seconds = 5
        await reaper.sweep(node.services)
        clock.seconds = 4  # when the request began that is stored now
        await node.finish(await node.ask(), value=1.0)
        clock.jump, clock.seconds = jump, 6
        for seconds, state in ((1803, StudyState.RUNNING), (1804, StudyState.FINISHED)):
            await reaper.sweep(node.services)
            clock.seconds = seconds
            await reaper.sweep(node.services)
            assert (await node.study("s")).state is state


async def test_a_jump_that_can_not_be_stored_is_made_up_for(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit(budget={"trials": 9, "hours": 0.5})
        await node.finish(await node.ask(), value=1.0)
        await reaper.sweep(node.services)
        clock.jump = 3600.0
        node.services.ledger.most_waiting = 0
        with pytest.raises(Unavailable):
            await reaper.sweep(node.services)
        node.services.ledger.most_waiting = 100
        for seconds, state in ((1799, StudyState.RUNNING), (1800, StudyState.FINISHED)):
            clock.seconds = seconds
            await reaper.sweep(node.services)
            assert (await node.study("s")).state is state


async def test_a_jump_that_may_be_stored_is_not_stored_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        await node.submit(budget={"trials": 9, "hours": 0.5})
        await node.finish(await node.ask(), value=1.0)
        await reaper.sweep(node.services)
        clock.jump, write = -3600.0, node.services.ledger.write

        async def stored_and_unknown(decide: Callable[[Transaction], Any]) -> None:
            await write(decide)
            raise OutcomeUnknown("the connection broke during the commit")

        with monkeypatch.context() as patch:
            patch.setattr(node.services.ledger, "write", stored_and_unknown)
            with pytest.raises(OutcomeUnknown):
                await reaper.sweep(node.services)
        for seconds, state in ((1799, StudyState.RUNNING), (1800, StudyState.FINISHED)):
            clock.seconds = seconds
            await reaper.sweep(node.services)
            assert (await node.study("s")).state is state


async def test_a_worker_long_gone_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, **LEASE) as node:
        gone, here = await node.register(name="gone"), await node.register(name="here")
        clock.seconds = reaper.FORGET_AFTER * 30 - 1
        await node.beat(worker=here)
        await reaper.sweep(node.services)
        assert {w.worker_id for w in node.services.ledger.memory.workers()} == {gone, here}
        clock.seconds += 2
        await reaper.sweep(node.services)
        assert {w.worker_id for w in node.services.ledger.memory.workers()} == {here}
        assert (await node.beat(worker=gone)).known is False


async def test_the_server_sweeps_by_itself(tmp_path: Path) -> None:
    async with serve(tmp_path, lease_s=0.05, sweep_s=0.01) as node:
        study = await node.submit(retry={"max": 1000})
        await node.ask()
        for _ in range(3000):
            if node.trials(study)[0].state is TrialState.WAITING:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the lease was never swept")
