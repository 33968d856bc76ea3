"""Proposals on their way into trials: reproducible, ready ahead, and never trials themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from api import reaper
from api.sampling.ready import RESULTS_A_POINT
from api.search import Search
from tests.api.node import Clock, Node, serve
from tuner.space import Params
from tuner.trial import Origin, StudyState, Trial
from tuner.wire import LeaseGrant, StudyView

pytestmark = pytest.mark.anyio
TPE = {"sampler": {"name": "tpe", "seed": 1, "startup": 3}}
SAMPLERS = ("tpe", "random", "qmc", "cmaes")


def value_of(params: Params) -> float:
    return (float(params["x"]) - 0.3) ** 2 + float(params["y"])


async def run_one(node: Node) -> None:
    grant = await node.ask()
    value = value_of(grant.params)
    await node.report(grant, 1, value + 1)
    ends: dict[str, Any] = {"outcome": "diverged"} if grant.number % 4 == 3 else {"value": value}
    await node.finish(grant, **ends)


async def run_study(folder: Path, breaks: Sequence[int], **changes: Any) -> list[Trial]:
    """Run 14 trials one after the other, on a fresh server from each number of `breaks` on."""
    folder.mkdir()
    edges = [0, *breaks, 14]
    for first, last in pairwise(edges):
        async with serve(folder, Clock(seconds=first)) as node:
            if first == 0:
                await node.submit(**changes)
            for number in range(first, last):
                if number == 6:
                    await node.post("/studies/s/trials", {"params": {"x": 0.5, "y": 0.5}})
                await run_one(node)
            trials = list(node.services.ledger.memory.trials(1))
    return trials


@pytest.mark.parametrize("sampler", SAMPLERS)
async def test_a_restart_changes_no_trial_of_those_run_one_at_a_time(
    tmp_path: Path, sampler: str
) -> None:
    changes: dict[str, Any] = {
        "sampler": {"name": sampler, "seed": 1} | ({"startup": 3} if sampler == "tpe" else {}),
        "constraints": ["x + y < 1.2"],
        "budget": {"trials": 50, "parallel": 1},
    }
    once = await run_study(tmp_path / "once", [], **changes)
    again = await run_study(tmp_path / "again", [2, 7, 11], **changes)
    assert [t.params for t in again] == [t.params for t in once]
    assert len({repr(t.params) for t in once}) == 14


async def test_one_at_a_time_each_trial_is_proposed_from_all_before_it(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        view = await node.submit(**TPE, budget={"trials": 50, "parallel": 1})
        for _ in range(12):
            await run_one(node)
        study = node.services.ledger.memory.study(view.id)
        trials, fresh = node.trials(view), Search()
        for i, trial in enumerate(trials):
            assert await fresh.propose(study, trials[:i]) == [trial.params]
        fresh.close()


async def start(node: Node, count: int) -> tuple[StudyView, list[LeaseGrant]]:
    """Submit a study, end so many trials that points are made ahead, and start others."""
    view = await node.submit(**TPE, budget={"trials": 1000})
    while len(node.trials(view)) < 2 * RESULTS_A_POINT:
        grants = await asyncio.gather(*(node.ask() for _ in range(20)))
        await asyncio.gather(*(node.finish(g, value=value_of(g.params)) for g in grants))
    return view, [await node.ask() for _ in range(count)]


async def ready(node: Node, view: StudyView, count: int) -> None:
    """Wait until so many points are ready."""
    memory, search = node.services.ledger.memory, node.services.search
    async with asyncio.timeout(60):
        while search._shelves[view.id].count(memory, view.id) != count:
            await asyncio.sleep(0.005)


async def test_points_wait_for_the_next_callers_and_are_no_trials(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        view, running = await start(node, 8)
        await ready(node, view, 2)
        assert len(node.trials(view)) == 2 * RESULTS_A_POINT + 8
        study, search = node.services.ledger.memory.study(view.id), node.services.search
        promised = search.point(node.services.ledger.memory, study)
        await node.finish(running[0], value=1.0)
        grant = await node.ask()
        assert grant.params == promised
        await ready(node, view, 2)


@pytest.mark.parametrize("state", ["paused", "stopped", "cancelled"])
async def test_points_of_a_study_that_starts_no_trials_are_dropped(
    tmp_path: Path, state: str
) -> None:
    async with serve(tmp_path, Clock()) as node:
        view, _ = await start(node, 4)
        await ready(node, view, 2)
        reply = await node.http.patch(f"/api/v1/studies/{view.id}", json={"state": state})
        assert reply.status_code == 200, reply.text
        await reaper.sweep(node.services)
        assert view.id not in node.services.search._shelves
        assert len(node.trials(view)) == 2 * RESULTS_A_POINT + 4


async def test_a_paused_study_goes_on(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        view, running = await start(node, 4)
        for state in ("paused", "running"):
            await node.http.patch(f"/api/v1/studies/{view.id}", json={"state": state})
            await reaper.sweep(node.services)
        assert (await node.ask()).number == 2 * RESULTS_A_POINT + 4
        for grant in running:
            await node.finish(grant, value=1.0)


async def work(node: Node, worker: str) -> None:
    while not (reply := await node.acquire(worker, n=2, wait_s=0.2)).idle:
        for grant in reply.leases:
            await node.finish(grant, value=value_of(grant.params))


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "cmaes"])
async def test_racing_workers_get_each_proposal_once(tmp_path: Path, sampler: str) -> None:
    async with serve(tmp_path) as node:
        view = await node.submit(
            sampler={"name": sampler, "seed": 1},
            budget={"trials": 120, "parallel": 9},
            run={"entrypoint": "pkg.train:main"},
        )
        workers = [await node.register() for _ in range(8)]
        for k in range(5):
            await node.post("/studies/s/trials", {"params": {"x": 0.1 * (k + 1), "y": 0.5}})
        await asyncio.gather(*(work(node, w) for w in workers))
        trials = node.trials(view)
        assert [t.number for t in trials] == list(range(120))
        sampled = [t for t in trials if t.origin is Origin.SAMPLED]
        assert len({repr(t.params) for t in sampled}) == len(sampled) == 115
        assert (await node.study(view.id)).state is StudyState.FINISHED
