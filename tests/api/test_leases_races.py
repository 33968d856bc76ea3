"""Races for trials: one holder each, no limit passed, no proposal used for another's number."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api.search import Search
from tests.api.node import Node, serve
from tuner.trial import EndReason, Origin, StudyState, TrialState
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
WORK = {"run": {"entrypoint": "pkg.train:main"}}


async def work_off(
    node: Node, worker: str, parallel: int, seen: list[LeaseGrant], load: list[int]
) -> None:
    """Take and finish trials until the queue holds nothing."""
    while True:
        reply = await node.acquire(worker, n=2, wait_s=5)
        if reply.idle:
            return
        seen += reply.leases
        load[0] += len(reply.leases)
        assert load[0] <= parallel
        for grant in reply.leases:
            await asyncio.sleep(0)
            load[0] -= 1
            await node.finish(grant, value=float(grant.number))


async def test_racing_workers_get_each_trial_once_and_keep_the_limits(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        parallel, trials = 7, 300
        budget = {"trials": trials, "parallel": parallel}
        study = await node.submit(budget=budget, **WORK)
        workers = [await node.register() for _ in range(16)]
        seen: list[LeaseGrant] = []
        load = [0]
        await asyncio.gather(*(work_off(node, w, parallel, seen, load) for w in workers))
        assert sorted(g.number for g in seen) == list(range(trials))
        assert len({g.lease for g in seen}) == trials
        shown = await node.study(study.id)
        assert (shown.state, shown.ended_why) == (StudyState.FINISHED, EndReason.BUDGET)
        assert shown.counts["complete"] == trials


async def test_racing_for_waiting_trials_passes_no_limit(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(budget={"trials": 60, "parallel": 5}, **WORK)
        for k in range(40):
            await node.post("/studies/s/trials", {"params": {"x": 0.01 * (k + 1)}})
        workers = [await node.register() for _ in range(16)]
        numbers: list[int] = []
        while len(numbers) < 60:
            replies = await asyncio.gather(*(node.acquire(w, n=4) for w in workers))
            grants = [g for r in replies for g in r.leases]
            running = [t for t in node.trials(study) if t.state is TrialState.RUNNING]
            assert len(grants) == len(running) <= 5
            numbers += [g.number for g in grants]
            await asyncio.gather(*(node.finish(g, value=1.0) for g in grants))
        assert sorted(numbers) == list(range(60))
        assert set(numbers[:40]) == set(range(40))


async def test_a_proposal_serves_only_the_number_it_was_made_for(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(budget={"trials": 200}, **WORK)
        workers = [await node.register() for _ in range(6)]

        async def enqueue() -> None:
            for _ in range(12):
                await node.post("/studies/s/trials", {"params": {"x": 0.5}})

        async def acquire(worker: str) -> None:
            for _ in range(5):
                await node.acquire(worker, n=3)

        await asyncio.gather(enqueue(), *(acquire(w) for w in workers))
        trials = node.trials(study)
        fresh, of = Search(), node.services.ledger.memory.study(study.id)
        for trial in trials:
            if trial.origin is Origin.SAMPLED:
                assert await fresh.propose(of, trials[: trial.number]) == [trial.params]
        fresh.close()
        assert {t.origin for t in trials} == {Origin.SAMPLED, Origin.ENQUEUED}
