"""More load than the server sustains: it answers or refuses for now, and loses nothing it took."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from storage.check import check
from tests.faults.crowd import Crowd, external
from tests.faults.light import Rounds, Tally
from tests.faults.told import Place, Report, Told, missing
from tests.serving import ServerProcess

PROMISE = "Overload"
TRIALS, BATCH = 250, 500
CLOSED, SAMPLE = 4, 8
"""Clients that measure what is sustained, each waiting for its answers; requests of each."""
MOST_S, BURST = 15.0, 120
"""For how long more is offered until some is refused; what is then sent at once."""


class Load:
    """Reports of many trials in large requests, sent at a rate of its own."""

    def __init__(self, http: httpx.AsyncClient, told: Told) -> None:
        self.refused = 0
        self._http, self._told = http, told
        self._trials: list[tuple[Place, str]] = []
        self._steps = itertools.count(1)
        self._rng = random.Random(3)

    async def lease(self) -> None:
        """Lease the trials."""
        await self._http.post("/studies", json=external("load", pruner={"name": "none"}))
        asks = [self._http.post("/studies/load/ask", json={}) for _ in range(TRIALS)]
        for reply in await asyncio.gather(*asks):
            (grant,) = reply.json()["leases"]
            place = Place(grant["study_id"], grant["number"], grant["attempt"])
            self._told.lease(place, grant["lease"])
            self._trials.append((place, grant["lease"]))

    async def sustained(self) -> float:
        """Return the requests in a second that are answered where each client waits."""
        start = time.monotonic()

        async def client() -> None:
            for _ in range(SAMPLE):
                await self._send()

        await asyncio.gather(*(client() for _ in range(CLOSED)))
        return CLOSED * SAMPLE / (time.monotonic() - start)

    async def offer(self, rate: float, seconds: float) -> None:
        """Send so many requests a second, whatever is answered; await all answers.

        It ends `seconds` after the first was refused. Where that does not happen, since this
        process can't send as fast, many are sent at once.
        """
        end = time.monotonic() + MOST_S
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end:
                group.create_task(self._send())
                await asyncio.sleep(1 / rate)
                if self.refused:
                    end = min(end, time.monotonic() + seconds)
                    seconds = MOST_S
            for _ in range(0 if self.refused else BURST):
                group.create_task(self._send())

    async def _send(self) -> None:
        """Send reports until they are taken; come back when told."""
        items = list(itertools.islice(self._items(), BATCH))
        content = json.dumps({"reports": [item for _, item in items]})
        headers = {"Content-Type": "application/json"}
        while True:
            reply = await self._http.post("/reports", content=content, headers=headers)
            if reply.is_success:
                break
            assert reply.status_code in (429, 503), reply.text
            self.refused += 1
            await asyncio.sleep(int(reply.headers["Retry-After"]) * (1 + self._rng.random()))
        for (place, item), result in zip(items, reply.json()["results"], strict=True):
            self._told.report(place, Report(item, result["decision"]))

    def _items(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        for step in self._steps:
            for place, token in self._trials:
                held = {"lease": token, "attempt": place.attempt}
                yield place, {**held, "step": step, "value": self._rng.random()}


async def _overload(server: ServerProcess, told: Told, seconds: float) -> tuple[int, int]:
    """Offer twice what is sustained; return how many requests were refused, and that rate."""
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(
        base_url=f"{server.url}/api/v1",
        headers=headers,
        timeout=240.0,
        trust_env=False,
        limits=httpx.Limits(max_connections=2000),
    ) as http:
        load = Load(http, told)
        await load.lease()
        rate = await load.sustained()
        await load.offer(2 * rate, seconds)
        return load.refused, round(rate * BATCH)


def test_twice_the_load(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Beside it a crowd asks, reports and ends trials; the server is killed under load at last."""
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    with ServerProcess(tmp_path, "--db", url, "--lease", "600") as server:
        with Crowd(server, refusals={429, 503}, checkpoints=0, gone=True) as crowd:
            refused, rate = asyncio.run(_overload(server, crowd.told, rounds(5, 0)))
            server.kill()
            server.start()
            crowd.go_on(5)
        server.stop()
    wrong = missing(url, crowd.told)
    wrong += map(str, check(url))
    print(*wrong[:20], sep="\n")
    refusals = refused + crowd.told.refusals.total()
    note = (
        f"writes acknowledged at twice the {rate} reports/s sustained; "
        f"{refusals} requests refused for now"
    )
    tally(PROMISE, crowd.told.writes, len(wrong), note)
    assert refused
