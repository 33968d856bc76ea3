"""The worker protocol as a whole, over a network that loses replies."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from api.routes import artifacts, environments, leases, logs, workers
from tests.api.node import Node, item, serve
from tuner.decision import Outcome
from tuner.trial import StudyState, TrialState
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


class Lost(Exception):
    """The reply did not arrive; the request may have."""


class Worker:
    """A worker over a bad network: a third of its replies vanish, and it asks again."""

    def __init__(self, node: Node, name: str, rng: random.Random) -> None:
        self.node, self.name, self.rng = node, name, rng
        self.keys = 0
        self.applied: dict[tuple[int, int], list[tuple[int, float]]] = {}

    async def send(self, path: str, body: dict[str, Any], keyed: bool = False) -> httpx.Response:
        self.keys += 1
        key = f"{self.name}-{self.keys}" if keyed else None
        while True:
            reply = await self.node.post(path, body, key)
            if self.rng.random() > 1 / 3:
                return reply

    async def run(self) -> None:
        """Work until the queue holds nothing."""
        worker = await self.node.register(name=self.name)
        while True:
            body = {"worker_id": worker, "n": 1, "wait_s": 1}
            reply = (await self.send("/leases", body, keyed=True)).json()
            if reply["idle"]:
                return
            for lease in reply["leases"]:
                await self.train(LeaseGrant.model_validate(lease))

    async def train(self, grant: LeaseGrant) -> None:
        """Report a random curve under the rate in force; now and then give up the trial."""
        level, end = grant.lr_factor, self.rng.randrange(3, 13)
        steps = self.applied.setdefault((grant.study_id, grant.number), [])
        steps.clear()
        for step in range(1, end):
            if self.rng.random() < 0.02:
                body: dict[str, Any] = {"attempt": grant.attempt}
                await self.send(f"/leases/{grant.lease}/release", body, keyed=True)
                return
            steps.append((step, level))
            report = item(grant, step, self.rng.uniform(0.2, 1.0), level)
            body = {"reports": [report.model_dump(mode="json")]}
            (result,) = (await self.send("/reports", body)).json()["results"]
            assert result["problem"] is None, result
            level = result["decision"]["lr_factor"]
            if result["decision"]["action"] == "stop":
                break
        reply = await self.send(f"/leases/{grant.lease}/finish", {"attempt": grant.attempt})
        assert reply.status_code == 200, reply.text


async def test_lost_replies_change_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with serve(tmp_path) as node:
        study = await node.submit(
            space={"lr": {"min": 0.1, "max": 1.0}},
            run={"entrypoint": "pkg.train:main"},
            policies=[{"name": "halve_on_plateau", "patience": 1}, {"name": "divergence"}],
            pruner={"name": "asha", "min": 2, "eta": 2, "grace": 1},
            budget={"trials": 60, "steps": 12, "parallel": 3},
        )
        fleet = [Worker(node, f"w{i}", random.Random(rng.random())) for i in range(4)]
        await asyncio.gather(*(w.run() for w in fleet))
        shown = await node.study(study.id)
        assert (shown.state, sum(shown.counts.values())) == (StudyState.FINISHED, 60)
        trials = node.trials(study)
        assert {t.state for t in trials} == {TrialState.ENDED}
        assert {t.outcome for t in trials} <= {Outcome.COMPLETE, Outcome.PRUNED}
        assert Outcome.PRUNED in {t.outcome for t in trials}
        assert shown.halvings > 5
        applied = {k: v for w in fleet for k, v in w.applied.items() if w.applied[k]}
        for trial in trials:
            recorded = [(r.step, r.lr_factor) for r in trial.reports]
            kept = [w.applied.get((study.id, trial.number)) for w in fleet]
            assert recorded in kept, (trial.number, recorded, applied)


async def test_a_server_stopped_in_mid_study_goes_on(tmp_path: Path) -> None:
    numbers: list[int] = []
    held: LeaseGrant | None = None
    for _ in range(4):
        async with serve(tmp_path) as node:
            if held is None:
                await node.submit(budget={"trials": 9}, sampler={"name": "tpe", "seed": 1})
            else:
                await node.report(held, 2, 0.3)
                await node.finish(held)
                numbers.append(held.number)
            for _ in range(1):
                grant = await node.ask()
                numbers.append(grant.number)
                await node.finish(grant, value=0.5)
            held = await node.ask()
            await node.report(held, 1, 0.4)
    async with serve(tmp_path) as node:
        trials = node.services.ledger.memory.trials(1)
        assert sorted(numbers) == [t.number for t in trials if t.state is TrialState.ENDED]
        assert [t.value for t in trials[:3]] == [0.5, 0.3, 0.5]


def test_the_protocols_page_names_every_route() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    named = set(re.findall(r"`(DELETE|GET|POST|PUT) (/[^`]*)`", page))
    routes = {
        (method, route.path)
        for router in (
            leases.direct,
            leases.router,
            logs.direct,
            workers.router,
            artifacts.router,
            environments.router,
        )
        for route in router.routes
        if isinstance(route, APIRoute)
        and not (route.path.startswith("/studies") and route.methods == {"GET"})
        for method in route.methods or ()
    }
    assert named == routes
