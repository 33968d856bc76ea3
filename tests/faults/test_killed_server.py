"""The server is killed at random moments under load: what it acknowledged is in the database."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from storage.check import check
from tests.faults.crowd import Crowd
from tests.faults.light import Rounds, Tally
from tests.faults.told import missing, told_otherwise
from tests.serving import ServerProcess

PROMISE = "An acknowledged write is in the database"
OPTIONS = ("--lease", "600")


def _kill(server: ServerProcess, kills: int, seed: int) -> tuple[Crowd, int]:
    """Kill and start the server under load; return the requests that were cut off, too."""
    rng, cut = random.Random(seed), 0
    with Crowd(server, gone=True, seed=seed) as crowd:
        for _ in range(kills):
            crowd.go_on(rng.randint(1, 60))
            time.sleep(rng.uniform(0.0, 0.02))
            cut += crowd.under_way
            server.kill()
            if crowd.told.odd:
                break
            server.start()
        crowd.go_on(20)
    return crowd, cut


def _case(folder: Path, url: str, kills: int, seed: int, tally: Tally) -> None:
    artifacts = folder / "artifacts"
    options = ("--db", url, "--artifacts", str(artifacts), *OPTIONS)
    with ServerProcess(folder, *options) as server:
        crowd, cut = _kill(server, kills, seed)
        wrong = told_otherwise(server, crowd.told)
        server.stop()
    wrong += missing(url, crowd.told)
    wrong += map(str, check(url, artifacts=artifacts, hashes=True))
    print(*wrong[:20], sep="\n")
    name = url.partition(":")[0].partition("+")[0]
    note = f"kill -9 on {name}; {crowd.told.writes} writes acknowledged, {cut} requests cut off"
    tally(PROMISE, kills, len(wrong), note)


@pytest.mark.parts(3)
def test_sqlite(tmp_path: Path, tally: Tally, rounds: Rounds, part: int) -> None:
    _case(tmp_path, f"sqlite:///{tmp_path / 'tuner.db'}", rounds(75, 2), part, tally)


def test_postgresql(tmp_path: Path, tally: Tally, rounds: Rounds, postgres_url: str) -> None:
    _case(tmp_path, postgres_url, rounds(75, 2), 9, tally)
