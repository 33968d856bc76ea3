"""Single reports from many clients: one connection and one trial each.

Offered: each client has a schedule of its own, a report a period from a phase of its own; a report
is late from the moment it was due, whether or not the connection was free (no coordinated
omission). Saturated: each client sends the next report when it has the answer to the last one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.rates.cpu import trees
from benchmarks.rates.http import Connection, Requests, connect
from benchmarks.rates.load import quantiles
from benchmarks.rates.study import LONGEST, PROGRAM, document, value

_JUDGED = 20


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A load of single reports.

    Args:
        rate: reports offered a second by all clients, or None: as many as are answered.
        leased: whether the server leases trials; a bare route takes any token.
        roots: process ids by name, whose trees' CPU time is measured.
    """

    url: str
    token: str
    clients: int = 500
    rate: float | None = None
    seconds: float = 10.0
    warm: float = 2.0
    leased: bool = True
    roots: Mapping[str, int] = field(default_factory=dict)


class Reporter:
    """One client."""

    def __init__(self, requests: Requests, connection: Connection, held: dict[str, Any]) -> None:
        self._requests = requests
        self._connection = connection
        self._held = held
        self._step = 0
        self.took: list[tuple[float, float]] = []
        """When each report was due, and how long after that its answer had come, in seconds."""

    async def report(self, due: float | None = None) -> None:
        """Send the next report and note what it took from `due`, by default from now."""
        self._step += 1
        item = {**self._held, "step": self._step, "value": value(self._step)}
        request = self._requests.lay("POST", "/reports", {"reports": [item]})
        due = time.perf_counter() if due is None else due
        answer = await self._connection.call(request)
        self.took.append((due, time.perf_counter() - due))
        decision = answer["results"][0]["decision"]
        if decision is None or decision["action"] != "continue":
            raise RuntimeError(f"a report was not taken: {answer}")

    async def offer(self, first: float, period: float, end: float) -> None:
        """Report at `first` and then once a period, or as soon after as the connection is free."""
        due = first
        while due < end:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            await self.report(due)
            due += period

    async def flood(self, end: float) -> None:
        """Report as fast as the answers come."""
        while time.perf_counter() < end and self._step < LONGEST - 1:
            await self.report()


def stream(plan: Stream) -> dict[str, Any]:
    """Make the load and return what was measured."""
    return uvloop.run(_stream(plan))


async def _stream(plan: Stream) -> dict[str, Any]:
    requests = Requests(plan.url, plan.token)
    connections = await connect(requests, plan.clients)
    name = f"stream-{secrets.token_hex(6)}"
    if plan.leased:
        held = await _lease(requests, connections[0], plan.clients, name)
    else:
        held = [{"lease": f"none-{i:08}", "attempt": 1} for i in range(plan.clients)]
    reporters = [Reporter(requests, c, h) for c, h in zip(connections, held, strict=True)]
    begin = time.perf_counter() + 0.1
    measured, end = begin + plan.warm, begin + plan.warm + plan.seconds
    if plan.rate is None:
        work = [r.flood(end) for r in reporters]
    else:
        period, rng = plan.clients / plan.rate, random.Random(0)
        work = [r.offer(begin + rng.random() * period, period, end) for r in reporters]
    running = asyncio.gather(*work)
    roots = {**plan.roots, "generator": os.getpid()}
    await asyncio.sleep(measured - time.perf_counter())
    before = trees(roots)
    await running
    spent = {name: s - before[name] for name, s in trees(roots).items()}
    took = [t for r in reporters for due, t in r.took if due >= measured]
    seconds = max(time.perf_counter(), end) - measured
    if plan.leased:
        cancel = requests.lay("PATCH", f"/studies/{name}", {"state": "cancelled"})
        await connections[0].call(cancel)
    for connection in connections:
        connection.close()
    return {
        "reports": len(took),
        "offered_per_s": plan.rate,
        "answered_per_s": len(took) / seconds,
        "latency_ms": quantiles(took),
        "cpu_ms": {name: 1000 * s / max(1, len(took)) for name, s in spent.items()},
    }


async def _lease(
    requests: Requests, connection: Connection, clients: int, name: str
) -> Sequence[dict[str, Any]]:
    """Submit a study, complete some trials for the median to compare with, and lease the rest."""
    await connection.call(requests.lay("POST", "/studies", document(name)))
    about = {"name": name, "host": "here", "slots": clients, "allow": [PROGRAM]}
    worker_id = (await connection.call(requests.lay("POST", "/workers", about)))["worker_id"]
    held: list[dict[str, Any]] = []
    while len(held) < clients + _JUDGED:
        ask = {"worker_id": worker_id, "n": clients + _JUDGED - len(held), "wait_s": 5.0}
        grants = (await connection.call(requests.lay("POST", "/leases", ask)))["leases"]
        held += [{"lease": g["lease"], "attempt": g["attempt"]} for g in grants]
    for done in held[:_JUDGED]:
        items = [{**done, "step": step, "value": value(step)} for step in range(1, 101)]
        await connection.call(requests.lay("POST", "/reports", {"reports": items}))
        path, body = f"/leases/{done['lease']}/finish", {"attempt": done["attempt"]}
        await connection.call(requests.lay("POST", path, body))
    return held[_JUDGED:]


if __name__ == "__main__":
    print(json.dumps(stream(Stream(**json.loads(sys.argv[1])))))
