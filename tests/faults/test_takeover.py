"""The owner is killed or stopped under load: the standby goes on with all that was acknowledged."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from storage.check import check
from tests.balancer import is_ready
from tests.faults.crowd import Crowd
from tests.faults.light import Rounds, Tally
from tests.faults.told import missing, told_otherwise
from tests.serving import ServerProcess

PROMISE = "A standby takes over"
OPTIONS = ("--standby", "--lease", "600")
WITHIN_S = 10
"""The promise's own, looked at in the long form."""


class Pair:
    """Two servers on one database; clients talk to the one that owns it."""

    def __init__(self, owner: ServerProcess, standby: ServerProcess) -> None:
        self.owner, self.standby = owner, standby

    @property
    def url(self) -> str:
        """Where clients send what they have to say."""
        return self.owner.url

    @property
    def token(self) -> str:
        """The token of both."""
        return self.owner.token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the owner."""
        return self.owner.call(method, path, body)

    def swap(self, crowd: Crowd, sig: signal.Signals) -> float:
        """Take the owner away; return the seconds until the standby was ready.

        One that was stopped goes on then: it has requests whose clients still wait.
        """
        crowd.wait(lambda: "standby, owner is process" in self.standby.log, "it stands by")
        old, began = self.owner, time.monotonic()
        old.send(sig)
        crowd.wait(lambda: is_ready(self.standby.url), "the standby owns the database")
        back = time.monotonic()
        self.owner, self.standby = self.standby, old
        if sig is signal.SIGSTOP:
            old.send(signal.SIGCONT)
        old.wait()
        crowd.wait(lambda: crowd.answered_at > back, "the first write")
        old.start()
        return back - began


def _case(
    folder: Path, url: str, signals: list[signal.Signals], seed: int, tally: Tally, within: float
) -> None:
    rng, options = random.Random(seed), ("--db", url, "--artifacts", str(folder / "artifacts"))
    for name in ("a", "b"):
        (folder / name).mkdir()
    with (
        ServerProcess(folder / "a", *options, *OPTIONS) as first,
        ServerProcess(folder / "b", *options, *OPTIONS) as second,
    ):
        pair, took = Pair(first, second), []
        with Crowd(pair, gone=True, refusals={503}, seed=seed) as crowd:
            for sig in signals:
                crowd.go_on(rng.randint(1, 60))
                time.sleep(rng.uniform(0.0, 0.02))
                took.append(pair.swap(crowd, sig))
            crowd.go_on(20)
        wrong = told_otherwise(pair.owner, crowd.told)
        for server in (pair.standby, pair.owner):
            server.stop()
    wrong += missing(url, crowd.told)
    wrong += map(str, check(url))
    wrong += [f"a takeover took {s:.1f} s" for s in took if s > within]
    print(*wrong[:20], sep="\n")
    note = (
        f"owners killed or stopped and continued; {crowd.told.writes} writes acknowledged; "
        f"{max(took):.1f} s until the other was ready at most"
    )
    tally(PROMISE, len(signals), len(wrong), note)


def test_sqlite(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """A process that is stopped keeps its lock there: only dead owners are replaced."""
    kills, within = [signal.SIGKILL] * rounds(20, 1), rounds(WITHIN_S, 120)
    _case(tmp_path, f"sqlite:///{tmp_path / 'tuner.db'}", kills, 1, tally, within)


@pytest.mark.parts(2)
def test_postgresql(
    tmp_path: Path, tally: Tally, rounds: Rounds, postgres_url: str, part: int
) -> None:
    ways = [signal.SIGKILL, signal.SIGSTOP] * rounds(10, 1)
    _case(tmp_path, postgres_url, ways, 10 + part, tally, rounds(WITHIN_S, 120))
