"""Workers race for trials: each trial is held by one of them at a time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.faults.light import Book, Rounds, Tally, serving, study
from tests.faults.told import Place
from tests.serving import ServerProcess

PROMISE = "A trial is leased to one worker at a time"
WORKERS, MOST, STEPS, QUEUED = 16, 8, 3, 60
GIVEN_BACK = 0.2
"""How many of the trials are given back, to be raced for again."""


@dataclass
class Race:
    """What the workers were given."""

    leased: dict[Place, str] = field(default_factory=dict)
    """By attempt: the worker that got it."""
    held: set[tuple[int, int]] = field(default_factory=set)
    doubles: list[str] = field(default_factory=list)

    def take(self, place: Place, worker: str) -> None:
        """Note a lease; a double if the trial is held, or the attempt was given before."""
        if place in self.leased or place[:2] in self.held:
            self.doubles.append(f"{place} was leased to {worker}, too")
        self.leased[place] = worker
        self.held.add(place[:2])


class Racer:
    """A worker that takes what it can get, and ends or gives it back at once."""

    def __init__(self, http: httpx.AsyncClient, race: Race, name: str) -> None:
        self._http, self._race, self._name = http, race, name
        self._rng = random.Random(name)

    async def run(self, start: asyncio.Barrier) -> None:
        """Race until the study has no trial left."""
        about = {"name": self._name, "host": "h", "slots": MOST, "allow": ["pkg:*"]}
        worker = (await self._post("/workers", about))["worker_id"]
        await start.wait()
        while True:
            wanted = {"worker_id": worker, "n": self._rng.randint(1, MOST), "wait_s": 1.0}
            reply = await self._post("/leases", wanted)
            if not (leases := reply["leases"]):
                if reply["idle"]:
                    return
                continue
            for grant in leases:
                place = Place(grant["study_id"], grant["number"], grant["attempt"])
                self._race.take(place, worker)
            back = [grant for grant in leases if self._rng.random() < GIVEN_BACK]
            await self._end([grant for grant in leases if grant not in back])
            await asyncio.gather(*(self._release(grant) for grant in back))

    async def _end(self, leases: list[dict[str, Any]]) -> None:
        items = [
            {"lease": grant["lease"], "attempt": grant["attempt"], "step": step, "value": 1.0}
            for grant in leases
            for step in (1, STEPS)
        ]
        self._race.held -= {(grant["study_id"], grant["number"]) for grant in leases}
        if items:
            results = (await self._post("/reports", {"reports": items}))["results"]
            assert [r["decision"]["action"] for r in results[1::2]] == ["stop"] * len(leases)

    async def _release(self, grant: dict[str, Any]) -> None:
        self._race.held.discard((grant["study_id"], grant["number"]))
        await self._post(f"/leases/{grant['lease']}/release", {"attempt": grant["attempt"]})

    async def _post(self, path: str, body: Any) -> Any:
        reply = await self._http.post(path, json=body)
        assert reply.is_success, (path, reply.text)
        return reply.json()


async def _race(server: ServerProcess) -> Race:
    race, start = Race(), asyncio.Barrier(WORKERS)
    limits = httpx.Limits(max_connections=WORKERS * MOST)
    async with (
        httpx.AsyncClient(
            base_url=f"{server.url}/api/v1",
            headers={"Authorization": f"Bearer {server.token}"},
            limits=limits,
            timeout=120.0,
            trust_env=False,
        ) as http,
        asyncio.TaskGroup() as group,
    ):
        for i in range(WORKERS):
            group.create_task(Racer(http, race, f"worker-{i}").run(start))
    return race


def _doubles(book: Book, race: Race) -> list[str]:
    """Return where the database contradicts what workers were told, or attempts overlap."""
    stored = {
        Place(*row[:3]): row[3]
        for row in book.rows(
            "SELECT study_id, number, a.attempt, worker_id FROM tuner_attempts a "
            "JOIN tuner_trials USING (trial_id)"
        )
    }
    wrong = [
        f"{place}: told {race.leased.get(place)}, stored {stored.get(place)}"
        for place in stored.keys() | race.leased.keys()
        if race.leased.get(place) != stored.get(place)
    ]
    overlapping = """
        SELECT a.trial_id, a.attempt, b.attempt FROM tuner_attempts a JOIN tuner_attempts b
        ON a.trial_id = b.trial_id AND a.attempt < b.attempt
        WHERE a.ended_at IS NULL OR a.ended_at > b.started_at
    """
    return wrong + [f"overlapping: {row}" for row in book.rows(overlapping)]


def test_workers_race(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    trials = rounds(10_000, 300)
    budget = {"trials": trials, "steps": STEPS, "parallel": trials, "max_failures": 1}
    with serving(tmp_path, {"lease": 600.0}) as (server, book):
        made = server.call("POST", "/studies", study("pkg:main", budget=budget))
        for _ in range(QUEUED):
            server.call("POST", f"/studies/{made['id']}/trials", {})
        race = asyncio.run(_race(server))
        wrong = race.doubles + _doubles(book, race)
        ends = book.rows("SELECT outcome, count(*) FROM tuner_trials GROUP BY 1")
        state = server.call("GET", f"/studies/{made['id']}")["state"]
    print(*wrong[:20], sep="\n")
    attempts = Counter(place.attempt for place in race.leased)
    note = f"trials, {WORKERS} workers; {attempts.total()} leases, {attempts[1]} of them the first"
    tally(PROMISE, len({place[:2] for place in race.leased}), len(wrong), note)
    assert (ends, state) == ([("complete", trials)], "finished")
