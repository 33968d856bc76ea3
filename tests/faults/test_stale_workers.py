"""A stale worker can't write: frozen past its lease, it wakes when another has its trial."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.e2e.worker_process import wait_until
from tests.faults.light import (
    PATIENCE_S,
    Book,
    Held,
    Light,
    Rounds,
    Tally,
    lost,
    seize,
    serving,
    study,
    wait_for,
)
from tests.faults.nodes import Node, lay_code

PROMISE = "A stale worker can't write"
TERMS = {"lease": 1.0, "heartbeat": 0.2, "sweep": 0.1}
VICTIMS, OTHERS = 8, 4
REFUSED = dict.fromkeys(("report", "upload", "heartbeat", "finish", "release"), "stale-attempt")
GIVEN_UP = re.compile("lost its lease|could not be closed")


class _Frozen(Protocol):
    def freeze(self) -> None: ...
    def wake(self) -> None: ...


def _round(
    book: Book, worker: _Frozen, ids: Callable[[], list[str]], rng: random.Random
) -> list[Held]:
    """Freeze a worker until others have gone on with what it held; wake it; return that."""
    stale: list[Held] = []
    while not stale:
        stale = lost(book, seize(book, ids, worker.freeze, rng))
        for held in stale:
            wait_until(partial(book.goes_on, held), "another goes on", PATIENCE_S)
        worker.wake()
    return stale


def _torment(light: Light, book: Book, rounds: int, seed: int) -> list[str]:
    """Freeze a lean worker again and again; return what it was not refused."""
    rng, wrong = random.Random(seed), []
    for told in range(1, rounds + 1):
        _round(book, light, light.worker_ids, rng)
        wait_for(lambda: len(light.said("refused")), told, "it was refused")
        answers = light.said("refused")[-1]["answers"]
        wrong += [] if answers == REFUSED else [str(answers)]
    return wrong


def _given_up(node: Node) -> int:
    return len(GIVEN_UP.findall(node.log))


def test_lean_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Real processes that speak the protocol: frozen at any moment, requests under way included."""
    each = rounds(34, 1)
    with serving(tmp_path, TERMS) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", study("light:main"))
        lights = [
            stack.enter_context(Light(server, tmp_path, str(k))) for k in range(VICTIMS + OTHERS)
        ]
        with ThreadPoolExecutor(VICTIMS) as pool:
            of_each = pool.map(lambda k: _torment(lights[k], book, each, k), range(VICTIMS))
            taken = [one for wrong in of_each for one in wrong]
        stale = book.stale_writes()
        cut = [one for light in lights for one in light.said("run") if not one["whole"]]
    print(*taken, *stale, *cut, sep="\n")
    tally(PROMISE, each * VICTIMS, len(taken) + len(stale), "lean workers, SIGSTOP to SIGCONT")
    assert (taken, stale, cut) == ([], [], [])


def test_real_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Parent and children stopped together, with two trials."""
    tries, rng, leases = rounds(28, 2), random.Random(1), 0
    lay_code(tmp_path)
    spec = study("code_main:main", budget={"trials": 100_000, "steps": 60})
    with serving(tmp_path, TERMS) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", spec)
        nodes = [stack.enter_context(Node(server, tmp_path, f"node-{k}")) for k in range(2)]
        for k in range(tries):
            node = nodes[k % 2]
            told = _given_up(node)
            stale = _round(book, node, partial(node.worker_ids, book), rng)
            leases += len(stale)
            wait_for(partial(_given_up, node), told + len(stale), "it knows")
        for node in nodes:
            node.terminate()
            assert node.wait() == 0
        stale_writes = book.stale_writes()
    print(*stale_writes, sep="\n")
    note = f"real workers with their children; {leases} trials taken over"
    tally(PROMISE, tries, len(stale_writes), note)
    assert stale_writes == []
