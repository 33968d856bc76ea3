"""A worker frozen past its lease wakes when another has its trial: what it says changes nothing."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bench import alive
from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess

OPTIONS = ("--lease", "3", "--heartbeat", "0.3", "--sweep", "0.1")
ROUNDS = int(os.environ.get("ROUNDS", "1"))
"""Rounds of each case; `ROUNDS=100` is the long run."""
STALE, FRESH = -1000.0, 1.0
"""What each attempt reports; the stale one would win if it were taken."""
GIVEN_UP = re.compile("study #0 (lost its lease|could not be closed)")
CODE = f"""
import os, pathlib, time
def until(name):
    while not os.path.exists(name):
        time.sleep(0.01)
def main(trial):
    pathlib.Path("pid").write_text(str(os.getpid()))
    for step in range(1, 7):
        trial.report(step, ({STALE} if trial.attempt == 1 else {FRESH}) / step)
        if step == 3:
            until("on")
    pathlib.Path("state").write_text("x")
    trial.checkpoint(6, pathlib.Path("state"))
    pathlib.Path("said").touch()
    until("end")
"""
STUDY = {
    "name": "study",
    "objective": {"metric": "val_loss"},
    "space": {"lr": {"min": 0.1, "max": 0.2}},
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "policies": [],
    "budget": {"trials": 1, "steps": 6, "parallel": 1},
    "run": {"entrypoint": "code_main:main"},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    with ServerProcess(folder, "--db", f"sqlite:///{folder / 'tuner.db'}", *OPTIONS) as process:
        yield process


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "code_main.py").write_text(CODE)
    return folder


def _worker(server: ServerProcess, folder: Path) -> WorkerProcess:
    return WorkerProcess(folder, server.url, server.token, report_timeout=0.2)


def _trial(server: ServerProcess) -> Any:
    items = server.call("GET", "/studies/study/trials")["items"]
    return items[0] if items else {"attempt": 0, "last_step": 0, "state": ""}


def _at(server: ServerProcess, attempt: int, step: int) -> bool:
    trial = _trial(server)
    return (trial["attempt"], trial["last_step"]) == (attempt, step)


def _rows(server: ServerProcess, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(server.folder / "tuner.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("frozen", ["node", "parent", "parent, trial over"])
def test_a_worker_that_wakes_changes_nothing(
    server: ServerProcess, tmp_path: Path, frozen: str, round_: int
) -> None:
    """Freeze the worker: with its trial, while that says all it has to say, or while it ends."""
    del round_
    here, there = _folder(tmp_path, "first"), _folder(tmp_path, "second")
    server.call("POST", "/studies", STUDY)
    with _worker(server, here) as first:
        wait_until(lambda: _at(server, 1, 3), "the first attempt's third step")
        child = int((here / "pid").read_text())
        pids = (first.process.pid, child) if frozen == "node" else (first.process.pid,)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        (here / "on").touch()
        if frozen == "parent, trial over":
            (here / "end").touch()
        if frozen != "node":
            wait_until((here / "said").exists, "the trial has said all to its frozen worker")
        wait_until(lambda: _trial(server)["state"] == "waiting", "the lease is lost")
        with _worker(server, there) as second:
            wait_until(lambda: _at(server, 2, 3), "the second attempt's third step")
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda: GIVEN_UP.search(first.log), "the first worker knows")
            if frozen != "parent, trial over":
                wait_until(lambda: not alive(child), "the stale trial is dead")
            assert _at(server, 2, 3)
            (there / "on").touch()
            (there / "end").touch()
            wait_until(lambda: _trial(server)["state"] == "ended", "the trial is over")
            _check(server)
            for worker in (first, second):
                worker.terminate()
                assert worker.wait() == 0
    _check(server)
    assert not list((here / "spool").glob("*"))


def _check(server: ServerProcess) -> None:
    """Find what the first attempt said up to its third step, and all that the second said."""
    trial = _trial(server)
    assert (trial["outcome"], trial["attempt"], trial["value"]) == ("complete", 2, FRESH / 6)
    reports = _rows(server, "SELECT attempt, step, value FROM tuner_reports ORDER BY 1, 2")
    stale = [(1, step, STALE / step) for step in range(1, 4)]
    assert reports == stale + [(2, step, FRESH / step) for step in range(1, 7)]
    assert _rows(server, "SELECT DISTINCT attempt FROM tuner_checkpoints") in ([], [(2,)])
    ends = _rows(server, "SELECT attempt, ended_why FROM tuner_attempts ORDER BY 1")
    assert ends == [(1, "lost"), (2, "ended")]
