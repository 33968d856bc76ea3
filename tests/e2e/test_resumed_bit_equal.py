"""A training killed and preempted anywhere ends as one left alone, to the last bit."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import resumed_training
from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess

STEPS = 9
BATCHES = 6  # in each epoch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    options = ("--lease", "3", "--heartbeat", "0.3", "--sweep", "0.2")
    with ServerProcess(folder, *options) as process:
        yield process


def run(
    server: ServerProcess, folder: Path, program: Mapping[str, Any], hurdles: Mapping[str, str]
) -> Any:
    """Train one trial, with a new worker whenever one is gone; return the trial."""
    folder.mkdir()
    shutil.copy(resumed_training.__file__, folder / "code_train.py")
    (folder / "hurdles.json").write_text(json.dumps(hurdles))
    spec = {
        "api_version": "v1",
        "name": folder.name,
        "objective": {"metric": "val_loss", "mode": "min"},
        "space": {"lr": {"values": [0.05]}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": [{"name": "halve_on_plateau", "factor": 0.5, "patience": 0, "threshold": 0.3}],
        "budget": {"trials": 1, "steps": STEPS, "parallel": 1},
        "retry": {"max": 10},
        "run": program,
    }
    study = server.call("POST", "/studies", spec)["id"]

    def ended() -> bool:
        items = server.call("GET", f"/studies/{study}/trials")["items"]
        return bool(items) and items[0]["state"] == "ended"

    while not ended():
        with WorkerProcess(folder, server.url, server.token, preload=True) as worker:
            wait_until(lambda: ended() or worker.process.poll() is not None, "the trial", 120.0)
            print(worker.log)
    return server.call("GET", f"/studies/{study}/trials/0")


def curve(trial: Any) -> list[tuple[int, float, float, dict[str, float]]]:
    """Return what counts of each step: of the last attempt that reported it."""
    last = {report["step"]: report for report in trial["reports"]}
    return [
        (step, report["value"], report["lr_factor"], report["metrics"])
        for step, report in sorted(last.items())
    ]


def test_killed_and_preempted_at_random(server: ServerProcess, tmp_path: Path) -> None:
    program = {"entrypoint": "code_train:main"}
    calm = run(server, tmp_path / "calm", program, {})
    assert len({row[2] for row in curve(calm)}) > 2, "the rate was halved on the way"

    dice = random.Random()
    at = sorted(dice.sample(range(2, STEPS * BATCHES), 4))
    what = dice.sample(["kill", "kill", "preempt", "worker"], 4)
    hurdles = {str(batch): kind for batch, kind in zip(at, what, strict=True)}
    rough = run(server, tmp_path / "rough", program, hurdles)
    print(hurdles)
    assert rough["attempt"] >= 4
    assert curve(rough) == curve(calm)
    finals = [(tmp_path / name / "final").read_text() for name in ("calm", "rough")]
    assert finals[0] == finals[1]
