"""PostgreSQL goes down as in a crash, and comes back: the service waits, and loses nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.check import check
from tests.faults.crowd import Crowd
from tests.faults.light import Rounds, Tally
from tests.faults.told import missing, told_otherwise
from tests.postgres import Postgres
from tests.serving import ServerProcess

PROMISE = "Database away"
WITHIN_S = 10
"""The promise's own, looked at in the long form."""
OPTIONS = ("--lease", "600")


@pytest.fixture
def own() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def _restart(server: Postgres, crowd: Crowd, rng: random.Random) -> float:
    """Crash it under load; return the seconds from its return to the first acknowledged write."""
    crowd.go_on(rng.randint(1, 60))
    time.sleep(rng.uniform(0.0, 0.02))
    before = crowd.told.refusals[503]
    server.kill()
    if rng.random() < 0.7:
        crowd.wait(lambda: crowd.told.refusals[503] > before + 3, "refusals while it is away")
    server.start()
    back = time.monotonic()
    crowd.wait(lambda: crowd.answered_at > back, "the first write")
    return time.monotonic() - back


@pytest.mark.parts(4)
def test_crashes(tmp_path: Path, tally: Tally, rounds: Rounds, own: Postgres, part: int) -> None:
    rng, restarts, url = random.Random(part), rounds(25, 3), own.url(own.new_database())
    with ServerProcess(tmp_path, "--db", url, *OPTIONS) as server:
        with Crowd(server, refusals={503}, seed=part) as crowd:
            waits = []
            for _ in range(restarts):
                waits.append(_restart(own, crowd, rng))
                if crowd.told.odd:
                    break
            crowd.go_on(20)
        wrong = told_otherwise(server, crowd.told)
        server.stop()
    wrong += missing(url, crowd.told)
    wrong += [f"it was back after {s:.1f} s" for s in waits if s > rounds(WITHIN_S, 120)]
    wrong += map(str, check(url))
    print(*wrong[:20], sep="\n")
    note = (
        f"immediate restarts of PostgreSQL; {crowd.told.writes} writes acknowledged, "
        f"{crowd.told.refusals[503]} refused by 503; back after {max(waits):.2f} s at most"
    )
    tally(PROMISE, restarts, len(wrong), note)
    assert crowd.told.refusals[503]
