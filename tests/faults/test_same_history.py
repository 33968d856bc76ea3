"""Same history, same decision: a server restarted before each request answers as one left alone.

Restarts are those of the application in the test's own process; that of a killed process reads the
same rows, see `test_killed_server`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from storage.check import check
from tests.api.in_process import API
from tests.api.node import SPACE, Node, document, item, serve
from tests.databases import lay_database
from tests.faults.light import Rounds, Tally
from tests.postgres import Postgres
from tuner.wire import LeaseGrant

PROMISE = "Same history, same decision"
REQUESTS, TRIALS, STEPS = 60, 12, 12
PRUNERS = [
    {"name": "median", "startup": 1},
    {"name": "percentile", "percentile": 50.0, "startup": 2, "warmup": 1, "interval": 2},
    {"name": "asha", "min": 1, "max": STEPS, "eta": 2},
    {"name": "hyperband", "min": 1, "max": STEPS, "eta": 3},
]
HALVE = {"name": "halve_on_plateau", "patience": 1, "threshold": 0.02, "min_lr": 0.004}
POLICIES = [
    [HALVE | {"control": 0.3}, {"name": "early_stopping", "patience": 3}, {"name": "divergence"}],
    [{"name": "update_ratio", "patience": 1}, {"name": "early_stopping", "patience": 2}],
    [{"name": "warm_restarts", "period": 3}, {"name": "divergence"}],
]


class Script:
    """Requests drawn from a seed and sent to a server that may be restarted before each of them.

    The same seed sends the same requests as long as the answers are the same.
    """

    def __init__(self, folder: Path, seed: int, url: str, *, restarts: bool) -> None:
        self.said: list[Any] = []
        """Each answer, without tokens and times."""
        self.restarts = 0
        self._url, self._artifacts = url, folder
        self._rng, self._restarting = random.Random(seed), restarts
        self._document = document(
            space={**SPACE, "lr": {"min": 1e-3, "max": 1.0, "log": True}},
            pruner=PRUNERS[seed % len(PRUNERS)],
            policies=POLICIES[seed % len(POLICIES)],
            budget={"trials": TRIALS, "steps": STEPS},
        )
        self._running: list[LeaseGrant] = []
        self._steps: dict[str, int] = {}
        self._level: dict[str, float] = {}

    async def run(self) -> None:
        """Send all requests."""
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(self._serve())
            await node.submit(**self._document)
            for _ in range(REQUESTS):
                if self._restarting:
                    await stack.aclose()
                    node = await stack.enter_async_context(self._serve())
                    self.restarts += 1
                await self._move(node)
            reply = await node.http.get(f"{API}/studies/s/export?format=json")
            self.said.append(_timeless(reply.json()))

    def _serve(self) -> Any:
        return serve(self._artifacts, db_url=self._url, lease_s=600.0)

    async def _move(self, node: Node) -> None:
        rng = self._rng
        if len(self._running) < rng.randint(1, 4):
            await self._ask(node)
            return
        trial = rng.choice(self._running)
        match rng.random():
            case x if x < 0.08:
                await self._release(node, trial)
            case x if x < 0.16:
                await self._checkpoint(node, trial)
            case _:
                await self._report(node, trial)

    async def _ask(self, node: Node) -> None:
        reply = (await node.post("/studies/s/ask")).json()
        for body in reply["leases"]:
            grant = LeaseGrant.model_validate_json(json.dumps(body))
            self._running.append(grant)
            self._steps[grant.lease] = grant.resume.step if grant.resume else 0
            self._level[grant.lease] = grant.lr_factor
            del body["lease"]
        self.said.append(reply)

    async def _report(self, node: Node, trial: LeaseGrant) -> None:
        rng = self._rng
        self._steps[trial.lease] += 1
        step = self._steps[trial.lease]
        value = None if rng.random() < 0.01 else rng.uniform(0.5, 1.0) + 1.0 / step
        metrics = {"train_loss": 1.0 / step, "update_ratio": 10 ** rng.uniform(-5, -2)}
        report = item(trial, step, value, self._level[trial.lease])
        (result,) = await node.results([report.model_copy(update={"metrics": metrics})])
        assert result.decision is not None, result.problem
        decision = result.decision
        self.said.append((trial.number, step, decision.model_dump()))
        self._level[trial.lease] = decision.lr_factor
        if decision.action == "stop":
            self._running.remove(trial)

    async def _release(self, node: Node, trial: LeaseGrant) -> None:
        self._running.remove(trial)
        self.said.append((await node.release(trial)).model_dump())

    async def _checkpoint(self, node: Node, trial: LeaseGrant) -> None:
        step, content = self._steps[trial.lease], self._rng.randbytes(20)
        query = f"attempt={trial.attempt}&sha256={hashlib.sha256(content).hexdigest()}"
        reply = await node.http.put(
            f"{API}/leases/{trial.lease}/checkpoints/{step}?{query}",
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        self.said.append((reply.status_code, reply.json()))


def _timeless(export: Any) -> Any:
    if isinstance(export, dict):
        return {k: _timeless(v) for k, v in export.items() if k != "at" and not k.endswith("_at")}
    return [_timeless(item) for item in export] if isinstance(export, list) else export


def _compare(folder: Path, seed: int, url: Callable[[str], str]) -> tuple[int, Counter[str], bool]:
    """Return the restarts of one history, what was decided, and whether all was the same."""
    scripts = []
    for name in ("undisturbed", "restarted"):
        home = folder / f"{name}-{seed}"
        home.mkdir()
        script = Script(home, seed, url(str(home)), restarts=name == "restarted")
        asyncio.run(script.run())
        scripts.append(script)
    alone, restarted = scripts
    events = Counter(str(event["kind"]) for event in alone.said[-1]["events"])
    outcomes = Counter(str(trial["outcome"]) for trial in alone.said[-1]["trials"])
    same = alone.said == restarted.said
    if not same:
        pairs = zip(alone.said, restarted.said, strict=False)
        print(next((pair for pair in pairs if pair[0] != pair[1]), "one said more"))
    return restarted.restarts, events + outcomes, same


def _case(folder: Path, seeds: range, url: Callable[[str], str], tally: Tally, name: str) -> None:
    restarts, decided, different = 0, Counter[str](), 0
    for seed in seeds:
        times, what, same = _compare(folder, seed, url)
        restarts, decided, different = restarts + times, decided + what, different + (not same)
    note = (
        f"restarts on {name}, in {len(seeds)} histories; decided: {decided['halved']} cuts, "
        f"{decided['scaled']} other changes of the rate, "
        f"{decided['pruned']} pruned, {decided['converged']} converged"
    )
    tally(PROMISE, restarts, different, note)
    assert decided["halved"]
    assert decided["pruned"]


def test_sqlite(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    def url(home: str) -> str:
        return lay_database(Path(home) / "tuner.db")

    _case(tmp_path, range(rounds(10, 1)), url, tally, "sqlite")
    assert check(url(str(tmp_path / "restarted-0"))) == []


def test_postgresql(tmp_path: Path, tally: Tally, rounds: Rounds, postgres: Postgres) -> None:
    made: list[str] = []

    def url(home: str) -> str:
        del home
        made.append(postgres.new_database())
        return postgres.url(made[-1])

    try:
        _case(tmp_path, range(6, 6 + rounds(5, 1)), url, tally, "postgresql")
    finally:
        for name in made:
            postgres.drop_database(name)
