"""Files of trials between real workers, a real server and a store (moto's S3 server)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bucket import SECRET, Bucket
from tests.e2e.test_worker_with_server import submit, trial
from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import TOKEN, ServerProcess
from tuner import Client
from tuner.errors import StaleAttempt

QUICK = ("--lease", "4", "--heartbeat", "0.4", "--sweep", "0.2")
TRAINS = """
import json, os, pathlib, time

VALUES = [0.5, 0.1, 0.4, 0.3, 0.25, 0.2]

def main(trial):
    state = []
    if trial.resume is not None:
        state = json.loads(trial.resume.path.read_text())
        assert len(state) == trial.resume.step
    print(trial.attempt, len(state), file=open("starts", "a"))
    pathlib.Path("out/deep").mkdir(parents=True, exist_ok=True)
    pathlib.Path("out/deep/a.csv").write_text("x,y\\n1,2\\n")
    while len(state) < trial.steps:
        step = len(state) + 1
        state.append(step)
        trial.report(step, VALUES[step - 1])
        file = pathlib.Path(f"state-{step}")
        file.write_text(json.dumps(state))
        trial.checkpoint(step, file)
        wait(trial, step)
        if trial.should_stop and step < trial.steps:
            return
    trial.artifact("out")
    note = pathlib.Path("note.txt")
    note.write_text("first")
    trial.artifact(note, "notes/final.txt")
    note.write_text("changed afterwards")

def wait(trial, step):
    # Of several checkpoints that wait only the newest is uploaded: let each one arrive.
    while not os.path.exists(f"go-{step}") and not trial.should_stop:
        time.sleep(0.01)
"""


def go(folder: Path, *steps: int) -> None:
    for step in steps:
        (folder / f"go-{step}").touch()


def kept(server: ServerProcess, study: int) -> list[int]:
    path = f"/studies/{study}/trials/0/checkpoints"
    return [item["step"] for item in server.call("GET", path)["items"]]


def follow(server: ServerProcess, folder: Path, study: int, steps: range) -> None:
    """Let the trial take steps, one after the other as their checkpoints arrive."""
    for step in steps:
        stored(server, study, step)
        go(folder, step)


def stored(server: ServerProcess, study: int, step: int) -> None:
    wait_until(lambda: kept(server, study)[-1:] == [step], f"checkpoint {step} is stored")


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    folders = tmp_path / "server", tmp_path / "work"
    for folder in folders:
        folder.mkdir()
    (folders[1] / "code_train.py").write_text(TRAINS)
    return folders


def preempted(server: ServerProcess, folder: Path, study: int) -> None:
    """Run four steps, and take the worker away."""
    with WorkerProcess(folder, server.url, server.token) as worker:
        follow(server, folder, study, range(1, 4))
        stored(server, study, 4)
        worker.terminate()
        assert worker.wait() == 0
        assert "through the server" not in worker.log
        assert "X-Amz" not in worker.log


def finished(server: ServerProcess, folder: Path, study: int, first: int = 5) -> str:
    """Run to the end with another worker; return its log."""
    with WorkerProcess(folder, server.url, server.token, until_idle=1.0) as worker:
        go(folder, 4)
        follow(server, folder, study, range(first, 7))
        assert worker.wait() == 0
        return worker.log


def test_a_preempted_trial_goes_on_from_the_store(
    places: tuple[Path, Path], bucket: Bucket, tmp_path: Path
) -> None:
    home, work = places
    with ServerProcess(home, *QUICK, "--artifacts", bucket.url) as server:
        assert f"artifacts: {bucket.url}" in server.log
        study = submit(server, "code_train:main")
        preempted(server, work, study)
        assert kept(server, study) == [2, 3, 4]
        finished(server, work, study)
        assert (work / "starts").read_text().split("\n")[:2] == ["1 0", "2 4"]
        assert kept(server, study) == [2, 5, 6]
        assert trial(server, study)["outcome"] == "complete"
        contents = {bucket.read(key) for key in bucket.held()}
        steps = [json.dumps(list(range(1, n + 1))).encode() for n in (2, 5, 6)]
        assert contents == {*steps, b"x,y\n1,2\n", b"first"}
        listed = server.run("artifacts", "study", "0")
        assert "notes/final.txt" in listed.stdout
        server.run("artifacts", "study", "0", "--download", str(tmp_path / "down"))
        assert (tmp_path / "down/out/deep/a.csv").read_text() == "x,y\n1,2\n"
        assert (tmp_path / "down/notes/final.txt").read_text() == "first"
        again = server.run("artifacts", "study", "0", "--download", str(tmp_path / "down"), code=1)
        assert "left as it is" in again.stderr
        shown = server.run("artifacts", "study", "0", "--checkpoints").stdout
        assert "best" in shown
        for secret in (SECRET, "X-Amz"):
            assert secret not in server.log
        assert server.run("db", "check", "--artifacts", bucket.url, "--hashes").returncode == 0
        with Client(server.url, TOKEN) as client:
            client.study(study).delete()
        assert bucket.held() == []


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    places: tuple[Path, Path], bucket: Bucket
) -> None:
    home, work = places
    with ServerProcess(home, *QUICK, "--artifacts", bucket.url) as server:
        study = submit(server, "code_train:main")
        preempted(server, work, study)
        (newest,) = [key for key in bucket.held() if "/1-4-" in key]
        bucket.write(newest, b"[1, 2, 3, 9]")
        said = finished(server, work, study)
        assert "came with a wrong hash" in said
        assert (work / "starts").read_text().split("\n")[:2] == ["1 0", "3 3"]
        detail = trial(server, study)
        assert (detail["outcome"], detail["failures"]) == ("complete", 0)
        (told,) = [e["data"] for e in detail["events"] if e["kind"] == "missing"]
        assert told["resumes_from"] == 3


def test_a_worker_that_does_not_reach_the_store_goes_through_the_server(
    places: tuple[Path, Path], bucket: Bucket
) -> None:
    home, work = places
    away = ("--artifact-endpoint", "http://127.0.0.1:9")
    with ServerProcess(home, *QUICK, "--artifacts", bucket.url, *away) as server:
        study = submit(server, "code_train:main", budget={"trials": 1, "steps": 2, "parallel": 1})
        with WorkerProcess(work, server.url, server.token, until_idle=1.0) as worker:
            follow(server, work, study, range(1, 3))
            assert worker.wait() == 0
            assert "the file goes through the server" in worker.log
        assert kept(server, study) == [1, 2]
        assert len(bucket.held()) == 4


def test_a_store_that_is_away_is_said_at_the_start(tmp_path: Path, bucket: Bucket) -> None:
    from tests.serving import refused

    line = refused(tmp_path, "--artifacts", "@".join(("s3://AKID:SECRET", "bucket/x")))
    assert "no credentials" in line
    assert "SECRET" not in line


def external(client: Client) -> Any:
    return client.submit(
        {
            "name": "loop",
            "objective": {"metric": "loss"},
            "space": {"lr": {"min": 0.1, "max": 0.2}},
            "sampler": {"name": "random"},
            "pruner": {"name": "none"},
            "policies": [],
            "budget": {"trials": 3, "steps": 9},
            "run": "external",
        }
    )


@pytest.mark.parametrize("store", ["folder", "s3"])
def test_an_own_loop_keeps_files_and_resumes(
    places: tuple[Path, Path], request: pytest.FixtureRequest, store: str
) -> None:
    home, work = places
    options: tuple[str, ...] = QUICK
    if store == "s3":
        options = (*QUICK, "--artifacts", request.getfixturevalue("bucket").url)
    with ServerProcess(home, *options) as server, Client(server.url, TOKEN) as client:
        study = external(client)
        with study.ask() as leased:
            assert leased.resume is None
            for step in (1, 2, 3):
                leased.report(step, 1.0 / step)
                (work / "state").write_text(f"state {step}")
                leased.checkpoint(step, work / "state")
                assert not (work / "state").exists()
            leased.release()
        with study.ask() as leased:
            assert leased.resume is not None
            assert (leased.resume.step, leased.resume.path.read_text()) == (3, "state 3")
            assert leased.resume.path == leased.resume.path
            leased.finish(0.5)
            (work / "a.txt").write_text("after its end")
            leased.artifact(work / "a.txt", "deep/a.txt")
        record = study.trial(0)
        (file,) = record.artifacts()
        assert (file.name, file.read()) == ("deep/a.txt", b"after its end")
        assert [(c.view.step, c.view.best) for c in record.checkpoints()] == [
            (2, False),
            (3, True),
        ]
        study.enqueue(from_checkpoint=(0, 2))
        with study.ask() as leased:
            assert leased.resume is not None
            assert (leased.resume.step, leased.resume.path.read_text()) == (2, "state 2")


def test_an_own_loop_is_told_of_a_damaged_checkpoint(
    places: tuple[Path, Path], bucket: Bucket
) -> None:
    home, work = places
    with (
        ServerProcess(home, *QUICK, "--artifacts", bucket.url) as server,
        Client(server.url, TOKEN) as client,
    ):
        study = external(client)
        leased = study.ask()
        for step in (1, 2):
            leased.report(step, 1.0 / step)
            (work / "state").write_text(f"state {step}")
            leased.checkpoint(step, work / "state")
        leased.release()
        (newest,) = [key for key in bucket.held() if "/1-2-" in key]
        bucket.delete(newest)
        leased = study.ask()
        with pytest.raises(StaleAttempt, match="ask again"):
            _ = leased.resume
        leased = study.ask()
        assert leased.resume is not None
        assert leased.resume.step == 1
