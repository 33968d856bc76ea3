"""The server is killed around deliveries and the receiver flaps: each event is told, in order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from storage.engine import database_url
from tests.faults.crowd import PATIENCE_S, Crowd
from tests.faults.light import Rounds, Tally
from tests.receiver import Got, Receiver, documented_verify, receiving
from tests.serving import ServerProcess

PROMISE = "Webhooks tell each event"
TOPICS = {"study.submitted": "submitted", "trial.leased": "leased", "trial.ended": "ended"}
"""What is told, and the kind of its events."""
REFUSALS = (302, 404, 500, 503)


class Temper:
    """How a receiver takes what comes: mostly well, while it flaps; not at all while it holds."""

    def __init__(self, receiver: Receiver, seed: int) -> None:
        self.taken: list[Got] = []
        """What was answered well."""
        self.refused = 0
        self.flaps = True
        self._receiver, self._rng = receiver, random.Random(seed)
        self._held, self._came, self._go = (threading.Event() for _ in range(3))
        receiver.before_answer = self._before_answer

    def hold(self) -> None:
        """Keep the next message without an answer until `let_go`."""
        self._came.clear()
        self._go.clear()
        self._held.set()

    def wait(self) -> None:
        """Wait for the message that is held."""
        assert self._came.wait(PATIENCE_S)

    def let_go(self) -> None:
        """Drop what is held."""
        self._held.clear()
        self._go.set()

    def _before_answer(self) -> None:
        message = self._receiver.got[-1]
        if self._held.is_set():
            self._came.set()
            assert self._go.wait(PATIENCE_S)
            raise ConnectionError("nobody waits for this answer any more")
        if self.flaps and (not self.refused or self._rng.random() < 0.2):
            self.refused += 1
            if self.refused % 3 == 0:
                raise ConnectionError("it fell over")
            self._receiver.answers = [(self._rng.choice(REFUSALS), {}, b"")]
            return
        self.taken.append(message)


def _kill(server: ServerProcess, temper: Temper, kills: int, seed: int) -> None:
    """Kill and start the server under load, each second time with a delivery under way."""
    rng = random.Random(seed)
    with Crowd(server, clients=2, gone=True, checkpoints=0, seed=seed) as crowd:
        for kill in range(kills):
            if kill % 2:
                temper.hold()
            crowd.go_on(rng.randint(1, 40))
            if kill % 2:
                temper.wait()
            else:
                time.sleep(rng.uniform(0.0, 0.05))
            server.kill()
            temper.let_go()
            server.start()
            if crowd.told.odd:
                break
        crowd.go_on(20)
    assert crowd.told.odd == []


def _events(url: str) -> list[int]:
    """Return the numbers of what had to be told."""
    kinds = ", ".join(repr(kind) for kind in TOPICS.values())
    engine = create_engine(database_url(url))
    with engine.connect() as connection:
        query = f"SELECT seq FROM tuner_events WHERE kind IN ({kinds}) ORDER BY seq"
        found = [int(seq) for (seq,) in connection.execute(text(query))]
    engine.dispose()
    return found


def _wrong(events: Sequence[int], temper: Temper, receiver: Receiver, secret: str) -> Iterator[str]:
    """Yield what a receiver that trusts docs/webhooks.md gets wrong."""
    seen = {got.seq for got in temper.taken}
    yield from (f"event {seq} was never told" for seq in events if seq not in seen)
    came = [got.seq for got in receiver.got]
    yield from (f"event {b} was told after {a}" for a, b in pairwise(came) if b < a)
    yield from (f"event {seq} is told, and is none" for seq in set(came) - set(events))
    ids: dict[str, int] = {}
    first: dict[int, Got] = {}
    for got in receiver.got:
        documented_verify()(secret, got.headers, got.body, tolerance_s=1e6)
        known = first.setdefault(got.seq, got)
        if known.headers["webhook-id"] != got.headers["webhook-id"]:
            yield f"event {got.seq} has another id each time"
        if known.message["data"]["event"] != got.message["data"]["event"]:
            yield f"event {got.seq} is told otherwise"
        if ids.setdefault(got.headers["webhook-id"], got.seq) != got.seq:
            yield f"event {got.seq} has the id of {ids[got.headers['webhook-id']]}"


def _case(folder: Path, url: str, kills: int, seed: int, tally: Tally) -> None:
    options = ("--db", url, "--lease", "600", "--webhook-allow-host", "127.0.0.1")
    with receiving() as receiver, ServerProcess(folder, *options) as server:
        temper = Temper(receiver, seed)
        body = {"url": receiver.url(), "events": list(TOPICS)}
        secret = server.call("POST", "/webhooks", body)["secret"]
        _kill(server, temper, kills, seed)
        temper.flaps = False
        server.kill()  # what was refused last is told again at once
        server.start()
        last = {"name": "last", "objective": {"metric": "loss"}, "run": "external"}
        server.call("POST", "/studies", last)
        _wait_for(temper, "last")
        server.stop()
        wrong = list(_wrong(_events(url), temper, receiver, secret))
    print(*wrong[:20], sep="\n")
    again = len(receiver.got) - len({got.seq for got in receiver.got})
    name = url.partition(":")[0].partition("+")[0]
    note = f"kill -9 on {name} {kills} times; {temper.refused} refused, {again} told again"
    tally(PROMISE, len(_events(url)), len(wrong), note)
    assert again > 0, "no kill came between an answer and its record"


def _wait_for(temper: Temper, study: str) -> None:
    """Wait until a study's first event is told: all before it were, or are lost."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(got.message["data"]["study"]["name"] == study for got in temper.taken[-1:]):
        assert time.monotonic() < deadline, f"{len(temper.taken)} events were told"
        time.sleep(0.02)


@pytest.mark.parts(3)
def test_sqlite(tmp_path: Path, tally: Tally, rounds: Rounds, part: int) -> None:
    _case(tmp_path, f"sqlite:///{tmp_path / 'tuner.db'}", rounds(20, 4), part, tally)


def test_postgresql(tmp_path: Path, tally: Tally, rounds: Rounds, postgres_url: str) -> None:
    _case(tmp_path, postgres_url, rounds(20, 2), 9, tally)
