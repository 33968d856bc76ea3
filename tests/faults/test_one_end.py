"""One terminal state per trial: random lives against a small model; see `tests/api/test_lifecycle`.

A sequence is up to 25 moves: of workers that ask, report, finish, release, fall silent and speak
again late, and of the person who cancels. In full there are 10,000, half of them on each database.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from storage.check import check
from tests.api.lean_client import lean_client
from tests.api.node import Clock, serve_to
from tests.api.test_lifecycle import LEASE_S, Lives
from tests.faults.light import Rounds, Tally

PROMISE = "One terminal state per trial"
MOVES = 25


@pytest.fixture(autouse=True)
def giving_way() -> Iterator[None]:
    """Leave the processor to the cases beside these, which are about time; these only need much."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, 10)
    yield
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, before)


def _sequences(folder: Path, examples: int, **chosen: Any) -> Counter[int]:
    """Run so many sequences; return the moves of each that has any."""
    clock, numbers, moves = Clock(), count(), Counter[int]()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        options = {"lease_s": LEASE_S, "heartbeat_s": 10.0, **chosen}
        serving = serve_to(lean_client, folder, clock, **options)
        run = runner.get_loop().run_until_complete
        node = run(serving.__aenter__())
        try:

            class Here(Lives):
                def __init__(self) -> None:
                    self.number = next(numbers)
                    super().__init__(node, clock, run, f"lives-{self.number}")

                @invariant()
                def a_move_was_made(self) -> None:
                    if self.trials:
                        moves[self.number] += 1

            run_state_machine_as_test(
                Here,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=MOVES,
                    deadline=None,
                    database=None,
                    derandomize=False,
                    phases=[Phase.generate, Phase.shrink],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            run(serving.__aexit__(None, None, None))
    return moves


def _case(folder: Path, examples: int, tally: Tally, **chosen: Any) -> None:
    moves = _sequences(folder, examples, **chosen)
    url = chosen.get("db_url", f"sqlite:///{folder / 'tuner.db'}")
    wrong = check(url)
    print(*wrong, sep="\n")
    name = url.partition(":")[0].partition("+")[0]
    tally(PROMISE, len(moves), len(wrong), f"sequences on {name}, {moves.total()} moves")


@pytest.mark.parts(4)
def test_sqlite(tmp_path: Path, tally: Tally, rounds: Rounds, part: int) -> None:
    del part
    _case(tmp_path, rounds(1250, 40), tally)


@pytest.mark.parts(4)
def test_postgresql(
    tmp_path: Path, tally: Tally, rounds: Rounds, postgres_url: str, part: int
) -> None:
    del part
    _case(tmp_path, rounds(1250, 40), tally, db_url=postgres_url)
