"""What trials print, from a real worker through a real server to people."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess
from tuner.client import Client
from tuner.client.study import StudyHandle

CODE = """
import os, sys, time
def main(trial):
    print("attempt", trial.attempt, "with", os.environ["NODE_TOKEN"])
    print("to stderr", file=sys.stderr)
    for percent in range(0, 101, 10):
        sys.stdout.write(f"\\r{percent}%|###|")
        sys.stdout.flush()
    print()
    sys.stdout.flush()
    trial.report(1, 1.0)
    while not os.path.exists(f"go-{trial.attempt}"):
        time.sleep(0.01)
    print("last words")
    if trial.attempt == 1:
        os._exit(3)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    with ServerProcess(folder, "--lease", "4", "--heartbeat", "0.4", "--sweep", "0.2") as process:
        yield process


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "code_main.py").write_text(CODE)
    return folder


def submit(client: Client) -> StudyHandle:
    return client.submit(
        {
            "name": "s",
            "objective": {"metric": "loss"},
            "space": {"lr": {"min": 0.1, "max": 0.2}},
            "budget": {"trials": 1, "steps": 3},
            "run": {"entrypoint": "code_main:main"},
        }
    )


def worker(server: ServerProcess, work: Path) -> WorkerProcess:
    env = {"NODE_TOKEN": "t0p-secret-value"}
    return WorkerProcess(work, server.url, server.token, env=env)


def test_people_read_and_follow_what_a_trial_prints(server: ServerProcess, work: Path) -> None:
    with Client(server.url, server.token) as client, worker(server, work) as process:
        study = submit(client)
        wait_until(study.trials, "the trial is there")
        wait_until(lambda: "100%" in study.trial(0).log(), "its lines are there")
        text = study.trial(0).log()
        assert sorted(text.splitlines()) == ["100%|###|", "attempt 1 with ***", "to stderr"]
        command = server.command("logs", "s", "0", "-f")
        with subprocess.Popen(command, env=server.env, stdout=subprocess.PIPE, text=True) as shown:
            assert shown.stdout is not None
            first = {shown.stdout.readline() for _ in range(3)}
            assert "attempt 1 with ***\n" in first
            server.kill()
            server.start()
            (work / "go-1").touch()
            assert shown.stdout.readline() == "last words\n"
            (work / "go-2").touch()
            rest = shown.stdout.read().splitlines()
            assert rest[-1] == "last words"
            assert "attempt 2 with ***" in rest
            assert shown.wait(60) == 0
        study.wait(60)
        assert study.trial(0).log(attempt=1).endswith("last words\n")
        assert "secret-value" not in "".join(
            path.read_text() for path in work.parent.rglob("*.txt")
        )
        process.terminate()
        assert process.wait() == 0
    timed = server.run("logs", "s", "0", "--attempt", "1", "--times").stdout.splitlines()
    assert all(line[4] == "-" and line[23:25] == "Z " for line in timed)
    server.run("logs", "s", "0", "--attempt", "3", code=3)


def test_a_worker_that_leaves_has_sent_all_lines(server: ServerProcess, work: Path) -> None:
    (work / "code_main.py").write_text(
        "def main(trial):\n    for n in range(5000):\n        print('line', n)\n    return 1.0\n"
    )
    with Client(server.url, server.token) as client:
        study = submit(client)
        env = {"NODE_TOKEN": "x"}
        with WorkerProcess(work, server.url, server.token, until_idle=0.1, env=env) as process:
            assert process.wait() == 0
        lines = study.trial(0).log().splitlines()
    assert lines[0] == "line 0"
    assert lines[-1] == "line 4999"
