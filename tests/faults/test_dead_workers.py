"""A dead worker's trial runs again, from the last checkpoint that came in whole."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock

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
)
from tests.faults.nodes import Node, lay_code
from tests.proxy import Fault, Proxy
from tests.serving import ServerProcess

PROMISE = "A dead worker's trial runs again"
TERMS = {"lease": 1.0, "heartbeat": 0.2, "sweep": 0.1}
SLACK_S = 5.0
"""The promise's own: 40 s for a lease of 30 s and a sweep of 5 s."""
KILLERS, OTHERS = 8, 4


class Deaths:
    """What became of the trials of workers that were killed."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.took: list[float] = []
        self.wrong: list[str] = []
        self._lock = Lock()

    def follow(self, held: Held, at: datetime) -> None:
        """Wait until another goes on with a trial whose worker was killed then."""
        wait_until(partial(self.book.goes_on, held), "another goes on", PATIENCE_S)
        query = "SELECT ended_at FROM tuner_attempts WHERE trial_id = ? AND attempt = ?"
        ((ended,),) = self.book.rows(query, *held)
        took = (datetime.fromisoformat(ended).replace(tzinfo=UTC) - at).total_seconds()
        came, (resumed, began) = self._checkpoint(held), self._next(held)
        with self._lock:
            self.took.append(took)
            if took > TERMS["lease"] + TERMS["sweep"] + SLACK_S:
                self.wrong.append(f"{held} could be claimed after {took:.1f} s")
            if not came == resumed == began - 1:
                self.wrong.append(f"{held} had step {came}; {resumed} was taken, {began} trained")

    def _checkpoint(self, held: Held) -> int:
        query = """
            SELECT e.step FROM tuner_events e JOIN tuner_trials t USING (study_id, number)
            WHERE e.kind = 'checkpoint' AND t.trial_id = ? AND e.attempt <= ?
            ORDER BY e.attempt DESC, e.step DESC LIMIT 1
        """
        found = self.book.rows(query, *held)
        return int(found[0][0]) if found else 0

    def _next(self, held: Held) -> tuple[int, int]:
        """Return where the next attempt resumed, and the first step it reported."""
        query = """
            SELECT resumed_step, min(step) FROM tuner_attempts
            JOIN tuner_reports USING (trial_id, attempt) WHERE trial_id = ? AND attempt = ?
        """
        ((resumed, began),) = self.book.rows(query, held.trial_id, held.attempt + 1)
        return int(resumed), int(began)

    @property
    def note(self) -> str:
        """How long it took until the trials could be claimed."""
        bound = TERMS["lease"] + TERMS["sweep"]
        return f"claimable after {max(self.took):.2f} s at most, lease and sweep {bound:.1f} s"


def _kill_some(
    server: ServerProcess, folder: Path, names: Iterator[int], plan: list[bool], deaths: Deaths
) -> list[Light]:
    """Start and kill lean workers one after another; where the plan says so, in mid-upload."""
    killed = []
    for in_upload in plan:
        while True:
            name = next(names)
            hang_at = 2 if in_upload else 0
            light = Light(server, folder, f"victim-{name}", hang_at=hang_at)
            killed.append(light)
            with light:
                if in_upload:
                    wait_until(partial(light.said, "hung"), "it hangs", PATIENCE_S)
                held = seize(deaths.book, light.worker_ids, light.kill, random.Random(name))
                at = datetime.now(UTC)
            gone = lost(deaths.book, held)
            if gone:
                break
        deaths.follow(gone[0], at)
        if in_upload:
            step = light.said("uploading")[-1]["step"]
            query = """
                SELECT 1 FROM tuner_events e JOIN tuner_trials t USING (study_id, number)
                WHERE e.kind = 'checkpoint' AND t.trial_id = ? AND e.attempt = ? AND e.step = ?
            """
            if deaths.book.rows(query, *gone[0], step):
                deaths.wrong.append(f"{gone[0]} has a checkpoint of which half was sent")
    return killed


def _misread(lights: list[Light], book: Book) -> list[str]:
    """Return checkpoints that were read back otherwise, and acknowledged ones that are missing.

    Some workers still run: what they were told is read before what is there.
    """
    read = [one for light in lights for one in light.said("run")]
    stored = [one for light in lights for one in light.said("stored")]
    query = "SELECT number, attempt, step FROM tuner_events WHERE kind = 'checkpoint'"
    there = set(book.rows(query))
    return [
        *(f"read otherwise: {one}" for one in read if not one["whole"]),
        *(
            f"lost: {one}"
            for one in stored
            if (one["number"], one["attempt"], one["step"]) not in there
        ),
    ]


def test_lean_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Real processes that speak the protocol; one in eleven is killed in mid-upload."""
    each, in_upload = rounds(22, 1), rounds(2, 1)
    with serving(tmp_path, TERMS) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", study("light:main"))
        others = [stack.enter_context(Light(server, tmp_path, f"o{k}")) for k in range(OTHERS)]
        deaths, names = Deaths(book), count()
        plans = [[n < in_upload and k % rounds(1, 4) == 0 for n in range(each)] for k in range(8)]
        with ThreadPoolExecutor(KILLERS) as pool:
            run = partial(_kill_some, server, tmp_path, names, deaths=deaths)
            lights = [x for some in pool.map(run, plans) for x in some]
        wrong = [*deaths.wrong, *_misread([*lights, *others], book), *book.stale_writes()]
        wait_until(lambda: not _parts(server), "no part of a checkpoint is left")
    print(*wrong, sep="\n")
    cut = sum(map(sum, plans))
    note = f"lean workers, {cut} in mid-upload; {deaths.note}"
    tally(PROMISE, each * KILLERS, len(wrong), note)
    assert wrong == []


def _parts(server: ServerProcess, trials: str = "**") -> list[Path]:
    return list((server.folder / "tuner-artifacts").glob(f"{trials}/.*.part"))


def _uploads(server: ServerProcess, book: Book, node: Node) -> list[Path]:
    """Return the uploads of a worker that are under way."""
    query = """
        SELECT number FROM tuner_trials JOIN tuner_attempts a USING (trial_id)
        WHERE a.worker_id = ? AND a.ended_at IS NULL
    """
    numbers = [row[0] for one in node.worker_ids(book) for row in book.rows(query, one)]
    return [part for number in numbers for part in _parts(server, f"*/{number}")]


def _stored(book: Book, ids: Callable[[], list[str]]) -> bool:
    query = """
        SELECT count(*) FROM tuner_checkpoints JOIN tuner_attempts USING (trial_id, attempt)
        WHERE worker_id = ? AND ended_at IS NULL
    """
    return any(book.number(query, one) for one in ids())


def test_real_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Parents are killed, the kernel kills their children; each fourth time in mid-upload."""
    tries, trials, cut = rounds(24, 2), 0, 0
    lay_code(tmp_path, size=8_000_000)
    spec = study("code_main:main", budget={"trials": 100_000, "steps": 60})
    with serving(tmp_path, TERMS) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", spec)
        stack.enter_context(Node(server, tmp_path, "other"))
        slow = stack.enter_context(Proxy(server.url, Fault.LATENCY, late_s=0.02)).url
        deaths, names = Deaths(book), count()
        for k in range(tries):
            gone: list[Held] = []
            while not gone:
                url = slow if k % 4 == 0 else server.url
                with Node(server, tmp_path, f"victim-{next(names)}", url=url) as node:
                    uploads = partial(_uploads, server, book, node)
                    ids = partial(node.worker_ids, book)
                    sign = uploads if url == slow else partial(_stored, book, ids)
                    wait_until(sign, "a checkpoint comes in, or came", PATIENCE_S)
                    held = seize(book, ids, node.process.kill, random.Random(k))
                    at, under_way = datetime.now(UTC), len(uploads())
                    node.wait()
                gone = lost(book, held)
            for one in gone:
                deaths.follow(one, at)
            trials, cut = trials + len(gone), cut + under_way
        wrong = [*deaths.wrong, *book.stale_writes()]
        failed = book.number("SELECT count(*) FROM tuner_attempts WHERE ended_why = 'failed'")
    print(*wrong, sep="\n")
    note = f"real workers with {trials} trials, {cut} in mid-upload; {deaths.note}"
    tally(PROMISE, tries, len(wrong) + failed, note)
    assert (wrong, failed) == ([], 0)
    assert cut
