"""Two servers on one database: the second does not start and says why, and the first goes on."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.crowd import Crowd
from tests.faults.light import Rounds, Tally, findings
from tests.faults.told import missing
from tests.serving import ServerProcess

PROMISE = "Two servers on one database"


def _second(folder: Path, url: str) -> str:
    """Start another server; return what it says if it ends at once."""
    second = ServerProcess(folder, "--db", url)
    try:
        second.start()
    except AssertionError:
        code = second.wait()
        return f"{code}: {second.log}"
    second.kill()
    return "it started"


def _case(folder: Path, url: str, times: int, tally: Tally, name: str) -> None:
    first = folder / "first"
    first.mkdir()
    with ServerProcess(first, "--db", url) as server:
        owner = re.compile(
            rf"1: error: process {server.pid} on \S+ .*owns this database already.*\n"
        )
        with Crowd(server, checkpoints=0) as crowd:
            said = [_second(folder, url) for _ in range(times)]
            crowd.go_on(20)
        server.stop()
    wrong = [line for line in said if not owner.fullmatch(line)] + missing(url, crowd.told)
    wrong += map(str, findings(url))
    print(*wrong[:20], sep="\n")
    note = f"starts on {name}, refused; {crowd.told.writes} writes of the first's clients"
    tally(PROMISE, times, len(wrong), note)


def test_sqlite(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    _case(tmp_path, url, rounds(10, 1), tally, "one SQLite file")


def test_postgresql(tmp_path: Path, tally: Tally, rounds: Rounds, postgres_url: str) -> None:
    _case(tmp_path, postgres_url, rounds(10, 1), tally, "PostgreSQL")
