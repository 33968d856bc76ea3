"""Preemption is not failure: a worker that is told to leave gives its trials back as they stand."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.faults.light import Book, Held, Rounds, Tally, seize, serving, study
from tests.faults.nodes import Node, lay_code
from tests.serving import ServerProcess

PROMISE = "Preemption is not failure"
TERMS = {"lease": 30.0, "heartbeat": 0.5, "sweep": 0.5}
SIDE_BY_SIDE = 2


def _preempt(server: ServerProcess, folder: Path, book: Book, rounds: int, side: int) -> list[int]:
    """Start workers one after another and tell each to leave; return their exit codes."""
    codes = []
    for k in range(rounds):
        with Node(server, folder, f"node-{side}-{k}") as node:
            ids = partial(node.worker_ids, book)
            seize(book, ids, node.terminate, random.Random(1000 * side + k))
            codes.append(node.wait())
    return codes


def _wrong(book: Book) -> list[str]:
    """Return trials that failed, and attempts that did not begin where the one before left."""
    query = (
        "SELECT number, outcome, failures FROM tuner_trials WHERE failures OR outcome = 'failed'"
    )
    wrong = [f"failed: {row}" for row in book.rows(query)]
    query = """
        SELECT trial_id, attempt, resumed_step, ended_why,
               (SELECT max(step) FROM tuner_reports r
                WHERE r.trial_id = a.trial_id AND r.attempt = a.attempt)
        FROM tuner_attempts a ORDER BY trial_id, attempt
    """
    left_at: dict[Held, int] = {}
    for trial_id, attempt, resumed, why, last in book.rows(query):
        if why not in ("released", "ended"):
            wrong.append(f"attempt {trial_id}, {attempt} ended: {why}")
        if resumed != left_at.get(Held(trial_id, attempt - 1), 0):
            wrong.append(f"attempt {trial_id}, {attempt} resumed at step {resumed}")
        left_at[Held(trial_id, attempt)] = resumed if last is None else last
    return wrong


def test_real_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    each = rounds(50, 2)
    lay_code(tmp_path)
    spec = study("code_main:main", retry={"max": 0}, budget={"trials": 100_000, "steps": 100})
    with serving(tmp_path, TERMS) as (server, book):
        server.call("POST", "/studies", spec)
        run = partial(_preempt, server, tmp_path, book, each)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            codes = [code for some in pool.map(run, range(SIDE_BY_SIDE)) for code in some]
        wrong = _wrong(book)
        here = server.call("GET", "/workers")["items"]
        given_back = book.number("SELECT count(*) FROM tuner_attempts WHERE ended_why = 'released'")
        resumed = book.number("SELECT count(*) FROM tuner_attempts WHERE resumed_step > 0")
    print(*wrong, sep="\n")
    note = f"real workers; {given_back} trials given back, {resumed} resumed"
    tally(PROMISE, len(codes), len(wrong), note)
    assert (codes, wrong, here) == ([0] * len(codes), [], [])
    assert resumed
