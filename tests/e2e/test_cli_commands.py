"""The command line against a real server and a real worker."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.serving import ServerProcess

ROOT = Path(__file__).parents[2]
TRAINING = """
name: {name}
objective: {{metric: val_loss, mode: min}}
sampler: {{name: random, seed: 0}}
budget: {{trials: 3, steps: 2}}
run: {{task: digits-mlp, device: cpu}}
"""
EXTERNAL = """
name: {name}
objective: {{metric: loss}}
space: {{lr: {{min: 0.1, max: 1.0}}}}
budget: {{trials: 3, steps: 9}}
run: external
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess(folder, "--db", f"sqlite:///{folder / 'own.db'}") as server:
        yield server


def submit(server: ServerProcess, text: str, name: str) -> str:
    path = server.folder / f"{name}.yaml"
    path.write_text(text.format(name=name))
    out = server.run("submit", str(path)).stdout
    assert out.strip().isdecimal()
    return out.strip()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_trial_is_shown_with_its_curve_its_events_and_its_error(server: ServerProcess) -> None:
    submit(server, EXTERNAL, "shown")
    lease = server.call("POST", "/studies/shown/ask", {})["leases"][0]
    report = {"lease": lease["lease"], "attempt": 1, "step": 4, "value": 0.25}
    server.call("POST", "/reports", {"reports": [report]})
    traceback = 'Traceback:\n  File "a.py", line 1\nValueError: too wide'
    body = {"attempt": 1, "outcome": "failed", "error": traceback, "retry": False}
    server.call("POST", f"/leases/{lease['lease']}/finish", body)
    shown = server.run("trial", "shown", "0").stdout
    assert "failed: ValueError: too wide" in shown
    assert "1        4     0.25   1" in shown
    assert "leased" in shown
    assert shown.endswith(traceback + "\n")
    assert json.loads(server.run("trial", "shown", "0", "--json").stdout)["number"] == 0
    server.run("trial", "shown", "99", code=3)


def test_what_is_stored_is_private(server: ServerProcess) -> None:
    submit(server, EXTERNAL, "private")
    found = [path for path in server.folder.iterdir() if path.name.startswith("own")]
    assert found
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)


def test_from_a_file_to_the_best_trial(server: ServerProcess, tmp_path: Path) -> None:
    study = submit(server, TRAINING, "training")
    server.run("worker", "--until-idle", "1", "--spool", str(tmp_path / "spool"))
    shown = json.loads(server.run("show", "training", "--json").stdout)
    assert (str(shown["id"]), shown["state"]) == (study, "finished")
    watched = server.run("watch", study)
    assert "training: finished, 3/3 trials" in watched.stdout
    assert set(YAML(typ="safe").load(server.run("best", study).stdout)) >= {"lr", "batch_size"}
    best = json.loads(server.run("best", study, "--json").stdout)
    assert 0 < best["metrics"]["test_accuracy"] <= 1
    assert len(server.run("trials", study).stdout.splitlines()) == 4
    assert "training" in server.run("ls").stdout
    replay = tmp_path / "replay.yaml"
    server.run("export", study, "-o", str(replay))
    everything = server.run("export", study, "--format", "json").stdout
    assert json.loads(everything)
    server.run("submit", str(replay), "--dry-run")
    assert len(server.run("workers").stdout.splitlines()) == 1, "it signed off"


def test_changes(server: ServerProcess) -> None:
    submit(server, EXTERNAL, "changes")
    assert server.run("pause", "changes").stderr == "changes: paused\n"
    server.run("resume", "changes")
    number = int(server.run("enqueue", "changes", "lr=0.5").stdout)
    trials = json.loads(server.run("trials", "changes", "--json").stdout)
    assert trials[number]["params"] == {"lr": 0.5}
    server.run("extend", "changes", "--trials", "2")
    assert (
        json.loads(server.run("show", "changes", "--json").stdout)["spec"]["budget"]["trials"] == 5
    )
    server.run("cancel", "changes", code=2)
    assert server.run("cancel", "changes", "--yes").stderr == "changes: cancelled\n"
    server.run("pause", "changes", code=1)
    server.run("watch", "changes", code=6)
    server.run("show", "no-such-study", code=3)
    server.run("--token", "wrong-token-0123456789", "ls", code=4)
    server.run("--url", "http://127.0.0.1:9", "ls", code=5)


def test_faults_stand_one_a_line(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("objective: {metrik: loss}\nbudget: {trails: 3}\nrun: external\n")
    ran = server.run("submit", str(path), code=1)
    lines = ran.stderr.splitlines()
    assert any(line.startswith("error: budget.trails: unknown key; did you") for line in lines)
    assert any(line.startswith("error: objective.metrik: ") for line in lines)
    assert "Traceback" not in ran.stderr


def test_ctrl_c_detaches(server: ServerProcess) -> None:
    submit(server, EXTERNAL, "detached")
    process = subprocess.Popen(
        server.command("watch", "detached"),
        env=server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "detached: queued" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "detached; the study goes on\n"
    assert json.loads(server.run("show", "detached", "--json").stdout)["state"] == "queued"


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_live_display(server: ServerProcess, colour: bool) -> None:
    name = f"live-{colour}"
    submit(server, EXTERNAL, name)
    master, slave = pty.openpty()
    env = {**server.env, "TERM": "xterm-256color", "COLUMNS": "100"}
    env |= {} if colour else {"NO_COLOR": "1"}
    process = subprocess.Popen(
        server.command("watch", name, "--every", "0.1"), env=env, stdout=slave, stderr=slave
    )
    os.close(slave)
    seen = b""
    while f"{name}: queued".encode() not in seen:
        seen += os.read(master, 4096)
    server.run("cancel", name, "--yes")
    while process.poll() is None:
        seen += _read(master)
    seen += _read(master)
    os.close(master)
    assert process.returncode == 6
    assert f"{name}: cancelled".encode() in seen
    assert (b"\x1b[38;5;" in seen or b"\x1b[3" in seen) is colour


def _read(master: int) -> bytes:
    try:
        return os.read(master, 4096)
    except OSError:
        return b""


def test_waiting_for_a_study(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "waiting.yaml"
    path.write_text(EXTERNAL.format(name="waiting"))
    process = subprocess.Popen(
        server.command("submit", str(path), "--wait"),
        env=server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    study = process.stdout.readline().strip()
    server.run("cancel", study, "--yes")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (6, "")
    assert "waiting: the study was cancelled" in err
