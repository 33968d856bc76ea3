"""A worker behind a bad network trains a study to its end, as if the network were good."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import WorkerProcess
from tests.proxy import Fault, Proxy
from tests.serving import ServerProcess

TRIALS, STEPS = 2, 9
LEVELS = (1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125)
"""Of steps 1 to 9 of a flat curve: each cut comes after two reports without improvement."""
CODE = """
def main(trial):
    with open(f"applied-{trial.number}-{trial.attempt}", "x") as applied:
        for step in range(1, trial.steps + 1):
            print(step, trial.lr_factor, file=applied, flush=True)
            trial.report(step, 1.0)
"""
STUDY = {
    "name": "study",
    "objective": {"metric": "val_loss"},
    "space": {"lr": {"min": 0.1, "max": 0.2}},
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
    "policies": [{"name": "halve_on_plateau", "patience": 1}],
    "budget": {"trials": TRIALS, "steps": STEPS, "parallel": 2},
    "run": {"entrypoint": "code_main:main"},
}


def _rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def _applied(folder: Path, number: int) -> list[tuple[int, float]]:
    """Return step and level of each step that the trial's only run trained."""
    (file,) = folder.glob(f"applied-{number}-*")
    lines = (line.split() for line in file.read_text().splitlines())
    return [(int(step), float(level)) for step, level in lines]


@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_a_study_is_trained_as_if_nothing_were_wrong(tmp_path: Path, fault: Fault) -> None:
    home, folder = tmp_path / "server", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    (folder / "code_main.py").write_text(CODE)
    database = home / "tuner.db"
    options = ("--db", f"sqlite:///{database}", "--heartbeat", "0.3")
    with ServerProcess(home, *options) as server, Proxy(server.url, fault) as proxy:
        server.call("POST", "/studies", STUDY)
        config: dict[str, Any] = {
            "slots": 2,
            "wait": 0.2,
            "request_timeout": 0.5,
            "report_timeout": 120.0,
            "until_idle": 2.0,
        }
        with WorkerProcess(folder, proxy.url, server.token, **config) as worker:
            assert worker.wait(200.0) == 0
        assert server.call("GET", "/studies/study")["state"] == "finished"
    assert (proxy.struck >= 3) == (fault is not Fault.NONE)
    numbered = "JOIN tuner_trials USING (trial_id) ORDER BY number, 2, 3"
    attempts = _rows(
        database,
        f"SELECT number, a.attempt, ended_why FROM tuner_attempts a {numbered}",
    )
    assert attempts == [(number, 1, "ended") for number in range(TRIALS)]
    reports = _rows(
        database,
        f"SELECT number, r.attempt, step, r.value, r.lr_factor FROM tuner_reports r {numbered}",
    )
    assert reports == [
        (number, 1, step, 1.0, LEVELS[step - 1])
        for number in range(TRIALS)
        for step in range(1, STEPS + 1)
    ]
    for number in range(TRIALS):
        assert _applied(folder, number) == list(enumerate(LEVELS, 1))
