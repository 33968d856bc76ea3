"""Closed-loop load: workers that lease, report and finish as fast as the server answers.

Each client is a worker with some slots, and speaks the worker's batched protocol: it leases a
trial for each slot in one request, sends the reports of all its trials in one request a step, and a
finish for each trial, side by side.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.rates.cpu import trees
from benchmarks.rates.http import Connection, Requests, connect
from benchmarks.rates.study import PROGRAM, STEPS, document, value


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A load.

    Args:
        trials: how many in all, or None: until the time is up.
        seconds: how long to measure where the trials are not counted.
        warm: seconds before that, not measured.
        steps: reports a trial sends; without any, its finish gives the value.
        study: an existing study's name, the only one with trials to give; else one is submitted.
        roots: process ids by name, whose trees' CPU time is measured.
    """

    url: str
    token: str
    clients: int = 8
    slots: int = 8
    trials: int | None = None
    seconds: float = 5.0
    warm: float = 1.0
    steps: int = STEPS
    sampler: str = "random"
    study: str = ""
    roots: Mapping[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class Tally:
    """What the workers have done so far."""

    trials: int = 0
    reports: int = 0
    stopped: int = 0
    last: float = 0.0
    acquire_s: list[float] = field(default_factory=list)
    report_s: list[float] = field(default_factory=list)
    finish_s: list[float] = field(default_factory=list)


class LoadWorker:
    """One client: a worker whose trials take no time."""

    def __init__(self, requests: Requests, slots: int, steps: int, tally: Tally) -> None:
        self._requests = requests
        self._slots = slots
        self._steps = steps
        self._tally = tally
        self._worker_id = ""
        self._connections: Sequence[Connection] = ()
        self.stopping = False

    async def open(self) -> None:
        """Connect and register."""
        self._connections = await connect(self._requests, self._slots)
        about = {
            "name": f"load-{secrets.token_hex(4)}", "host": "here", "slots": self._slots,
            "allow": [PROGRAM],
        }  # fmt: skip
        answer = await self._connections[0].call(self._requests.lay("POST", "/workers", about))
        self._worker_id = answer["worker_id"]

    async def close(self) -> None:
        """Leave the fleet and disconnect."""
        path = f"/workers/{self._worker_id}"
        await self._connections[0].call(self._requests.lay("DELETE", path, {}))
        for connection in self._connections:
            connection.close()

    async def run(self) -> None:
        """Lease and run trials until told to stop or until there are none."""
        while not self.stopping:
            ask = {"worker_id": self._worker_id, "n": self._slots, "wait_s": 1.0}
            key = secrets.token_hex(16)
            answer = await self._timed(
                self._connections[0],
                self._requests.lay("POST", "/leases", ask, key=key),
                self._tally.acquire_s,
            )
            if answer["leases"]:
                await self._trials(answer["leases"])
            elif answer["idle"]:
                return

    async def _trials(self, grants: Sequence[Mapping[str, Any]]) -> None:
        held = [{"lease": g["lease"], "attempt": g["attempt"]} for g in grants]
        for step in range(1, self._steps + 1):
            reports = [{**h, "step": step, "value": value(step)} for h in held]
            request = self._requests.lay("POST", "/reports", {"reports": reports})
            answer = await self._timed(self._connections[0], request, self._tally.report_s)
            for result in answer["results"]:
                if result["decision"] is None:
                    raise RuntimeError(f"a report was refused: {result['problem']}")
                self._tally.stopped += result["decision"]["action"] == "stop"
            self._tally.reports += len(held)
        await asyncio.gather(
            *(self._finish(c, h) for c, h in zip(self._connections, held, strict=False))
        )

    async def _finish(self, connection: Connection, held: Mapping[str, Any]) -> None:
        path = f"/leases/{held['lease']}/finish"
        body = {"attempt": held["attempt"], "outcome": "complete"}
        if not self._steps:
            body["value"] = value(STEPS)
        request = self._requests.lay("POST", path, body)
        await self._timed(connection, request, self._tally.finish_s)
        self._tally.trials += 1
        self._tally.last = time.perf_counter()

    @staticmethod
    async def _timed(connection: Connection, request: bytes, took: list[float]) -> Any:
        began = time.perf_counter()
        answer = await connection.call(request)
        took.append(time.perf_counter() - began)
        return answer


def load(plan: Plan) -> dict[str, Any]:
    """Make the load and return what was measured; see `summary`."""
    return uvloop.run(_load(plan))


async def _load(plan: Plan) -> dict[str, Any]:
    requests, tally = Requests(plan.url, plan.token), Tally()
    (control,) = await connect(requests, 1)
    name = plan.study or f"load-{secrets.token_hex(6)}"
    if not plan.study:
        new = document(name, sampler=plan.sampler, **_budget(plan))
        await control.call(requests.lay("POST", "/studies", new))
    workers = [LoadWorker(requests, plan.slots, plan.steps, tally) for _ in range(plan.clients)]
    await asyncio.gather(*(w.open() for w in workers))
    running = [asyncio.create_task(w.run()) for w in workers]
    if plan.trials is None:
        await _still_running(running, plan.warm)
        while not tally.trials:
            await _still_running(running, 0.05)
    roots = {**plan.roots, "generator": os.getpid()}
    before, cpu, began = (tally.trials, tally.reports), trees(roots), time.perf_counter()
    await _still_running(running, plan.seconds if plan.trials is None else None)
    seconds = (time.perf_counter() if plan.trials is None else tally.last) - began
    spent = {k: v - cpu[k] for k, v in trees(roots).items()}
    measured = summary(tally, before, seconds, spent)
    for worker in workers:
        worker.stopping = True
    await asyncio.gather(*running)
    await asyncio.gather(*(w.close() for w in workers))
    if not plan.study and plan.trials is None:
        await control.call(requests.lay("PATCH", f"/studies/{name}", {"state": "cancelled"}))
    control.close()
    return measured


def _budget(plan: Plan) -> dict[str, int]:
    return {} if plan.trials is None else {"trials": plan.trials}


async def _still_running(running: Sequence[asyncio.Task[None]], seconds: float | None) -> None:
    """Wait so long, or until all have ended; raise what one of them raised."""
    done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def summary(
    tally: Tally, before: tuple[int, int], seconds: float, spent: Mapping[str, float]
) -> dict[str, Any]:
    """Return rates per second, CPU in milliseconds a trial by process, and round trips in ms."""
    trials, reports = tally.trials - before[0], tally.reports - before[1]
    return {
        "trials": trials,
        "seconds": seconds,
        "trials_per_s": trials / seconds,
        "reports_per_s": reports / seconds,
        "stopped": tally.stopped,
        "cpu_ms": {k: 1000 * v / max(trials, 1) for k, v in spent.items()},
        "acquire_ms": quantiles(tally.acquire_s),
        "report_ms": quantiles(tally.report_s),
        "finish_ms": quantiles(tally.finish_s),
    }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    last = len(ordered) - 1
    return {
        "p50": 1000 * ordered[last // 2],
        "p99": 1000 * ordered[round(0.99 * last)],
        "max": 1000 * ordered[last],
    }


if __name__ == "__main__":
    print(json.dumps(load(Plan(**json.loads(sys.argv[1])))))
