"""Workers and the real server together: leases, expiry, checkpoints, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    options = ("--lease", "4", "--heartbeat", "0.4", "--sweep", "0.2")
    with ServerProcess(folder, *options) as process:
        yield process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    return work


def worker(server: ServerProcess, folder: Path, **config: Any) -> WorkerProcess:
    return WorkerProcess(folder, server.url, server.token, **config)


def submit(server: ServerProcess, run: Any, **more: Any) -> int:
    """Submit a study of one trial at a time without steering; return its id."""
    spec = {
        "api_version": "v1",
        "name": "study",
        "objective": {"metric": "val_loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": 1, "steps": 6, "parallel": 1},
        "run": run if isinstance(run, dict) else {"entrypoint": run},
        **more,
    }
    study_id: int = server.call("POST", "/studies", spec)["id"]
    return study_id


def trial(server: ServerProcess, study: int, number: int = 0) -> Any:
    return server.call("GET", f"/studies/{study}/trials/{number}")


STEPS = """
import os, pathlib, time
def main(trial):
    step = trial.resume.step if trial.resume else 0
    print(trial.attempt, step, file=open("starts", "a"))
    while step < trial.steps:
        step += 1
        trial.report(step, 1.0 / step)
        if step == 3:
            while not os.path.exists("on") and not trial.should_stop:
                time.sleep(0.01)
        if trial.should_stop:
            pathlib.Path("state").write_text("x")
            trial.checkpoint(step, pathlib.Path("state"))
            return
"""


def test_a_built_in_task_is_trained(server: ServerProcess, folder: Path) -> None:
    study = submit(
        server,
        {"task": "digits-mlp", "device": "cpu"},
        space={"lr": {"min": 0.05, "max": 0.1}},
        budget={"trials": 2, "steps": 2, "parallel": 2},
    )
    with worker(server, folder, slots=2, until_idle=0.5, preload=True) as process:
        assert process.wait() == 0
        assert process.log.count("nothing to do") == 1
    view = server.call("GET", f"/studies/{study}")
    assert view["state"] == "finished"
    assert view["best"]["value"] < 2.3  # better than guessing one of ten: ln 10
    reports = trial(server, study)["reports"]
    assert [r["step"] for r in reports] == [1, 2]
    assert "val_accuracy" in reports[0]["metrics"]


def test_a_killed_workers_trial_runs_again(server: ServerProcess, folder: Path) -> None:
    (folder / "code_main.py").write_text(STEPS)
    study = submit(server, "code_main:main")
    with worker(server, folder) as first:
        wait_until(lambda: _last_step(server, study) == 3, "the third step")
        first.process.kill()
        first.wait()
    (folder / "on").touch()
    with worker(server, folder) as second:
        wait_until(lambda: trial(server, study)["state"] == "ended", "the trial is over")
        second.terminate()
        assert second.wait() == 0
    assert (folder / "starts").read_text().split() == ["1", "0", "2", "0"]
    found = trial(server, study)
    assert (found["outcome"], found["attempt"]) == ("complete", 2)
    assert "lost" in [event["kind"] for event in found["events"]]


def test_preemption_resumes_at_its_step_and_is_no_failure(
    server: ServerProcess, folder: Path
) -> None:
    (folder / "code_main.py").write_text(STEPS)
    study = submit(server, "code_main:main")
    with worker(server, folder) as first:
        wait_until(lambda: _last_step(server, study) == 3, "the third step")
        first.terminate()
        assert first.wait() == 0
    (folder / "on").touch()
    with worker(server, folder, until_idle=0.5) as second:
        assert second.wait() == 0
    assert (folder / "starts").read_text().split() == ["1", "0", "2", "3"]
    found = trial(server, study)
    assert (found["outcome"], found["failures"]) == ("complete", 0)
    assert sorted({r["step"] for r in found["reports"]}) == [1, 2, 3, 4, 5, 6]


def test_a_worker_with_free_slots_takes_nothing_while_it_leaves(
    server: ServerProcess, folder: Path
) -> None:
    (folder / "code_main.py").write_text(STEPS)
    study = submit(server, "code_main:main")
    with worker(server, folder, slots=2) as process:
        wait_until(lambda: _last_step(server, study) == 3, "the third step")
        process.terminate()
        assert process.wait() == 0
    found = trial(server, study)
    assert (found["state"], found["attempt"]) == ("waiting", 1)


def test_a_server_killed_in_mid_trial_loses_nothing(server: ServerProcess, folder: Path) -> None:
    (folder / "code_main.py").write_text(STEPS)
    study = submit(server, "code_main:main")
    with worker(server, folder, report_timeout=0.2) as process:
        wait_until(lambda: _last_step(server, study) == 3, "the third step")
        server.kill()
        (folder / "on").touch()
        wait_until(lambda: list((folder / "spool").glob("*")), "reports are on disk")
        server.start()
        wait_until(lambda: trial(server, study)["state"] == "ended", "the trial is over")
        process.terminate()
        assert process.wait() == 0
    found = trial(server, study)
    assert (found["outcome"], found["attempt"]) == ("complete", 1)
    assert [r["step"] for r in found["reports"]] == [1, 2, 3, 4, 5, 6]


def test_a_cancelled_studys_trial_ends(server: ServerProcess, folder: Path) -> None:
    (folder / "code_main.py").write_text(STEPS)
    study = submit(server, "code_main:main")
    with worker(server, folder) as process:
        wait_until(lambda: _last_step(server, study) == 3, "the third step")
        server.call("PATCH", f"/studies/{study}", {"state": "cancelled"})
        wait_until(lambda: _ended(process), "the trial is over")
        process.terminate()
        assert process.wait() == 0
    assert trial(server, study)["outcome"] == "cancelled"


def test_a_failing_entrypoint_is_tried_again_up_to_the_cap(
    server: ServerProcess, folder: Path
) -> None:
    (folder / "code_main.py").write_text("def main(trial):\n    raise ValueError('broken')\n")
    study = submit(server, "code_main:main", retry={"max": 1})
    with worker(server, folder, until_idle=0.5) as process:
        assert process.wait() == 0
        assert "failed, will be tried again" in process.log
    found = trial(server, study)
    assert (found["outcome"], found["attempt"], found["failures"]) == ("failed", 2, 2)
    assert "ValueError: broken" in found["reason"]


def test_an_entrypoint_that_is_missing_fails_at_once(server: ServerProcess, folder: Path) -> None:
    study = submit(server, "code_absent:main")
    with worker(server, folder, until_idle=0.5) as process:
        assert process.wait() == 0
    found = trial(server, study)
    assert (found["outcome"], found["attempt"]) == ("failed", 1)
    assert "there is no module code_absent" in found["reason"]


def _last_step(server: ServerProcess, study: int) -> int:
    items = server.call("GET", f"/studies/{study}/trials")["items"]
    step: int = items[0]["last_step"] if items else 0
    return step


def _ended(process: WorkerProcess) -> bool:
    return "cancelled at step 3" in process.log
