"""Clocks that are wrong, or are set while the service runs, expire nothing before its time."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.e2e.worker_process import wait_until
from tests.faults.daytime import DayTime, compiled, monotonic_rate
from tests.faults.light import PATIENCE_S, Book, Held, Light, Rounds, Tally, lost, serving, study
from tests.faults.nodes import Node
from tests.serving import PROGRAM, ServerProcess

PROMISE = "Clocks"
DAY_S, HOUR_S = 86400.0, 3600.0
TERMS = {"lease": 3.0, "heartbeat": 1.0, "sweep": 0.2}
SILENCE_S = 2.5 * TERMS["lease"]
"""How long a trial says nothing: its lease lives by heartbeats."""
CLOCKS = {
    "a day ahead": (1, 1.0, 1.0),
    "a day behind": (-1, 1.0, 1.0),
    "half speed": (0, 1.0, 0.5),
    "double speed": (0, 1.0, 2.0),
    "monotonic half": (0, 0.5, 1.0),
    "monotonic double": (0, 2.0, 1.0),
}
"""Days by which the time of day is off, how fast the monotonic clock goes, and how fast the day."""
CODE = f"""
import os, time
def main(trial):
    began, day = time.monotonic(), time.time()
    touched = f"touched-{{trial.number}}"
    open(touched, "w").close()
    start = os.stat(touched).st_mtime
    off = day - start
    trial.report(1, 1.0)
    while True:
        time.sleep(0.05)
        os.utime(touched, None)
        passed = os.stat(touched).st_mtime - start
        if passed >= {SILENCE_S}:
            break
    rates = {{"rate": (time.monotonic() - began) / passed, "day": (time.time() - day) / passed}}
    trial.report(2, 1.0, {{"off": off, **rates}})
"""


def test_clocks_of_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """A day off, at half and double speed; the monotonic clock, too, by patching Python's."""
    library = compiled(tmp_path)
    wrong_clocks = {
        "a day ahead": DayTime(library, DAY_S).env,
        "a day behind": DayTime(library, -DAY_S).env,
        "half speed": DayTime(library, 0.0, 0.5).env,
        "double speed": DayTime(library, 0.0, 2.0).env,
        "monotonic half": monotonic_rate(tmp_path, 0.5),
        "monotonic double": monotonic_rate(tmp_path, 2.0),
    }
    trials = rounds(10, 1) * len(wrong_clocks)
    (tmp_path / "code_main.py").write_text(CODE)
    spec = study("code_main:main", budget={"trials": trials, "steps": 2})
    with serving(tmp_path, TERMS) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", spec)
        for name, env in wrong_clocks.items():
            stack.enter_context(Node(server, tmp_path, name, env=env, slots=1))
        wait_until(partial(_over, server), "all ended", PATIENCE_S * 10)
        ends = dict(book.rows("SELECT ended_why, count(*) FROM tuner_attempts GROUP BY 1"))
        seen = _seen(book)
    early = sum(n for why, n in ends.items() if why != "ended")
    tally(PROMISE, trials, early, f"leases of real workers: {', '.join(wrong_clocks)}")
    assert ends == {"ended": trials}
    assert seen == {name: CLOCKS[name] for name in wrong_clocks}


def _over(server: ServerProcess) -> bool:
    return bool(server.call("GET", "/studies/study")["state"] == "finished")


def _seen(book: Book) -> dict[str, tuple[int, float, float]]:
    """Return what the trials of each worker saw of its clocks, rounded."""
    query = """
        SELECT w.name, json_extract(metrics, '$.off'), json_extract(metrics, '$.rate'),
            json_extract(metrics, '$.day')
        FROM tuner_reports JOIN tuner_attempts USING (trial_id, attempt)
        JOIN tuner_workers w USING (worker_id) WHERE step = 2
    """
    return {
        name: (round(off / DAY_S), round(2 * rate) / 2, round(2 * day) / 2)
        for name, off, rate, day in book.rows(query)
    }


def test_the_servers_clock_is_set(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """An hour and a day, both ways, while workers run; the study may take three quarters of one."""
    day = DayTime(compiled(tmp_path))
    program = ("env", *(f"{key}={value}" for key, value in day.env.items()), *PROGRAM)
    steps = [HOUR_S, 0.0, -HOUR_S, 0.0, DAY_S, 0.0] * rounds(8, 1)
    spec = study("light:main", budget={"trials": 100_000, "hours": 0.75})
    terms = {**TERMS, "lease": 10.0}
    with serving(tmp_path, terms, program=program) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", spec)
        lights = [
            stack.enter_context(
                Light(server, tmp_path, str(k), steps=10**6, every=10**6, sleep=0.5)
            )
            for k in range(4)
        ]
        wait_until(lambda: _reports(book, 4), "all report", PATIENCE_S)
        for off in steps:
            day.set(off)
            before = dict(_counts(book))
            wait_until(partial(_grown, book, before, 5), "all go on", PATIENCE_S)
        early = book.number("SELECT count(*) FROM tuner_attempts WHERE ended_at IS NOT NULL")
        stopped = book.number("SELECT count(*) FROM tuner_events WHERE kind = 'stopping'")
        held = book.held(lights[0].worker_ids()[-1])
        lights[0].kill()
        gone = lost(book, held)
    note = "times the server's time of day was set, with 4 leases running"
    if early or stopped:
        note += f"; {early} attempts ended, {stopped} studies were stopped"
    tally(PROMISE, len(steps), early + stopped, note)
    assert gone == held != []


def _counts(book: Book) -> list[tuple[Held, int]]:
    query = "SELECT trial_id, attempt, count(*) FROM tuner_reports GROUP BY 1, 2"
    return [(Held(trial_id, attempt), n) for trial_id, attempt, n in book.rows(query)]


def _reports(book: Book, trials: int) -> bool:
    return len(_counts(book)) >= trials


def _grown(book: Book, before: dict[Held, int], by: int) -> bool:
    """Tell whether each of these attempts has reported so much more, or is over."""
    now = dict(_counts(book))
    return all(book.end(held) or now[held] >= n + by for held, n in before.items())
