"""Trials leave a record of their environment, and `tuner reproduce` runs them again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import WorkerProcess
from tests.serving import ServerProcess
from tuner import Client

CODE = """
import random
def main(trial):
    value = 1.0
    for step in range(1, trial.steps + 1):
        value *= 0.9 + 0.05 * trial.lr_factor + 0.01 * random.random() + OFFSET
        decision = trial.report(step, value)
        if decision.stop:
            return
"""
HALVING = [{"name": "halve_on_plateau", "patience": 0, "threshold": 0.9}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    write_code(root, "0.0")
    (root / ".gitignore").write_text("spool\nlogs\nworker-*\n__pycache__\n")
    git(root, "init", "-q", "-b", "main")
    commit(root)
    return root


def write_code(root: Path, offset: str) -> None:
    (root / "code_own.py").write_text(CODE.replace("OFFSET", offset))


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example")
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "code")


def trained(
    server: ServerProcess,
    folder: Path,
    name: str,
    run: Any,
    allow_commands: Sequence[str] = (),
    **more: Any,
) -> None:
    """Run a study to its end with a worker of its own in `folder`."""
    document = {
        "name": name,
        "objective": {"metric": "val_loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": HALVING,
        "budget": {"trials": 1, "steps": 6, "parallel": 1},
        "run": run,
        **more,
    }
    with Client(server.url, server.token) as client:
        study = client.submit(document)
        config: dict[str, Any] = {"until_idle": 0.5, "allow_commands": list(allow_commands)}
        with WorkerProcess(folder, server.url, server.token, **config) as worker:
            study.wait(timeout=120)
            assert worker.process.wait(60) == 0
        assert study.refresh().view.counts["complete"] == 1, worker.log


def reproduce(
    server: ServerProcess, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tuner", "reproduce", *arguments], check=False,
        cwd=folder, env=dict(server.env), capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_a_task_is_reproduced_to_the_last_bit(server: ServerProcess, tmp_path: Path) -> None:
    trained(server, tmp_path, "task", {"task": "digits-mlp", "device": "cpu"})
    with Client(server.url, server.token) as client:
        (environment,) = client.study("task").environments(0)
        levels = {r.lr_factor for r in client.study("task").trial(0).reports}
    assert len(levels) > 2
    assert environment.machine.program == ["digits-mlp"]
    assert environment.machine.variables["OMP_NUM_THREADS"] == "1"
    assert "pydantic" in environment.packages
    done = reproduce(server, tmp_path, "task", "0", "--tolerance", "0")
    assert done.returncode == 0, done.stderr
    assert "all 6 steps equal to the last bit" in done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "tuner", "trial", "task", "0"],
        env=dict(server.env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "OMP_NUM_THREADS=1" in shown.stdout


def test_own_code_is_checked_first_and_then_run(server: ServerProcess, repository: Path) -> None:
    run = {"entrypoint": "code_own:main"}
    write_code(repository, "0.001")  # not committed
    trained(server, repository, "own", run)
    done = reproduce(server, repository, "own", "0")
    assert done.returncode == 1
    assert "give --yes" in done.stderr
    done = reproduce(server, repository, "own", "0", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bit_equal"]
    assert [d for d in found["differences"] if d["weight"] == "code"] == []

    write_code(repository, "0.002")
    done = reproduce(server, repository, "own", "0", "--check")
    assert done.returncode == 6
    assert "uncommitted changes" in done.stdout
    assert "other code than recorded" in done.stderr
    done = reproduce(server, repository, "own", "0", "--yes")
    assert done.returncode == 6
    assert "not reproduced: differs from step 1 on" in done.stderr


def test_recorded_code_is_restored_in_a_worktree(
    server: ServerProcess, repository: Path, tmp_path: Path
) -> None:
    write_code(repository, "HELPER")
    (repository / "code_helper.py").write_text("HELPER = 0.001\n")  # not tracked
    own = repository / "code_own.py"
    own.write_text("from code_helper import HELPER\n" + own.read_text())
    trained(server, repository, "restored", {"entrypoint": "code_own:main"})
    write_code(repository, "0.003")
    commit(repository)  # the helper is tracked now, as it was
    target = tmp_path / "again"
    done = reproduce(server, repository, "restored", "0", "--yes", "--checkout", str(target))
    assert done.returncode == 0, done.stderr + done.stdout
    assert "equal to the last bit" in done.stderr
    assert (target / "code_helper.py").exists()
    done = reproduce(server, repository, "restored", "0", "--yes", "--checkout", str(target))
    assert done.returncode == 1
    assert "exists" in done.stderr


def test_code_that_fails_here_says_so(server: ServerProcess, repository: Path) -> None:
    trained(server, repository, "broken", {"entrypoint": "code_own:main"})
    (repository / "code_own.py").write_text("raise RuntimeError('not today')\n")
    done = reproduce(server, repository, "broken", "0", "--yes")
    assert done.returncode == 1
    assert "not today" in done.stderr


def test_a_trial_is_replayed_on_the_workers(server: ServerProcess, tmp_path: Path) -> None:
    trained(server, tmp_path, "again", {"task": "digits-mlp", "device": "cpu"})
    with WorkerProcess(tmp_path, server.url, server.token):
        done = reproduce(server, tmp_path, "again", "0", "--enqueue")
    assert done.returncode == 0, done.stderr
    assert "all 6 steps equal to the last bit" in done.stderr


def test_what_a_trial_began_with_is_fetched(server: ServerProcess, tmp_path: Path) -> None:
    task = {"task": "digits-mlp", "device": "cpu", "checkpoint_every": 0.0}
    trained(server, tmp_path, "parent", task)
    recipe = {"start_from": "parent/0", "freeze": 1, "teacher": ["parent/0", "parent/best"]}
    trained(server, tmp_path, "child", task | {"recipe": recipe})
    with Client(server.url, server.token) as client:
        parent = client.study("parent").extend(1)
        began = parent.enqueue(source={"study": "child", "trial": 0, "step": 5, "steps": "anew"})
        with WorkerProcess(tmp_path, server.url, server.token, until_idle=0.5) as worker:
            parent.wait(timeout=120)
            assert worker.process.wait(60) == 0
    for name, number, fetched in (
        ("child", 0, ("1 checkpoint for start_from", "2 checkpoints for teacher")),
        ("parent", began.number, ("the checkpoint of trial 0 of child",)),
    ):
        done = reproduce(server, tmp_path, name, str(number), "--tolerance", "0")
        assert done.returncode == 0, done.stderr
        assert "all 6 steps equal to the last bit" in done.stderr
        assert all(f"fetched {what}" in done.stderr for what in fetched)
    done = reproduce(server, tmp_path, "parent", str(began.number), "--enqueue")
    assert done.returncode == 1
    assert "enqueue it by `tuner enqueue parent --from" in done.stderr


def test_an_own_loop_leaves_its_record_too(server: ServerProcess, tmp_path: Path) -> None:
    document = {"name": "loop", "objective": {"metric": "loss"}, "run": "external"}
    with Client(server.url, server.token) as client:
        study = client.submit(document)
        with study.ask() as trial:
            trial.report(1, 0.5)
        (environment,) = study.environments(0)
        assert environment.machine.worker == ""
        with study.ask(record=False) as trial:
            trial.report(1, 0.5)
        assert study.environments(1) == []
    done = reproduce(server, tmp_path, "loop", "0")
    assert done.returncode == 1
    assert "own loop" in done.stderr
    done = reproduce(server, tmp_path, "loop", "99")
    assert done.returncode == 3


def test_the_loop_of_the_guide_on_coming_from_elsewhere(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNER_URL", server.url)
    monkeypatch.setenv("TUNER_TOKEN", server.token)
    guide = Path(__file__).parents[2] / "docs" / "guides" / "coming-from.md"
    (block,) = re.findall(r"^```python\n(.*?)^```", guide.read_text(), re.M | re.S)
    names: dict[str, Any] = {}
    exec(compile(block, str(guide), "exec"), names)
    assert "'x':" in capsys.readouterr().out
    names["client"].close()


PROGRAM = """
import os, sys
value = 1.0
for step in range(1, 5):
    value *= 1 - float(sys.argv[1])
    print(f"epoch {step} loss {value!r}", flush=True)
"""


def test_a_program_that_prints_is_run_again(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    command = [sys.executable, "train.py", "{lr}"]
    run = {"command": command, "report": {"line": "epoch {step} loss {value}"}}
    allowed = f"{sys.executable} train.py *"
    trained(server, tmp_path, "program", run, allow_commands=[allowed], policies=[])
    done = reproduce(server, tmp_path, "program", "0", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["bit_equal"]
    assert len(found["curve"]) == 4
    (tmp_path / "train.py").write_text(PROGRAM.replace("1 - ", "1 - 0.5 * "))
    done = reproduce(server, tmp_path, "program", "0", "--yes", "--json")
    assert done.returncode == 6
    found = json.loads(done.stdout)
    assert [d["what"] for d in found["differences"] if d["weight"] == "code"] == ["train.py"]
