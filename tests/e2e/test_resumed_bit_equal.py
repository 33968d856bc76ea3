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
BATCHES = 6  # in each epoch of the entrypoint's


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    options = ("--lease", "3", "--heartbeat", "0.3", "--sweep", "0.2")
    with ServerProcess(folder, *options) as process:
        yield process


class Study:
    """A study of one trial, whose workers run in a folder of its own."""

    def __init__(self, server: ServerProcess, folder: Path, run: Mapping[str, Any]) -> None:
        folder.mkdir()
        shutil.copy(resumed_training.__file__, folder / "code_train.py")
        self.folder = folder
        self._server = server
        halving = {"name": "halve_on_plateau", "factor": 0.5, "patience": 0, "threshold": 0.3}
        spec = {
            "api_version": "v1",
            "name": folder.name,
            "objective": {"metric": "val_loss", "mode": "min"},
            "space": {"lr": {"values": [0.05]}},
            "sampler": {"name": "random"},
            "pruner": {"name": "none"},
            "policies": [halving],
            "budget": {"trials": 1, "steps": STEPS, "parallel": 1},
            "retry": {"max": 10},
            "run": run,
        }
        self._id = server.call("POST", "/studies", spec)["id"]

    def train(self, hurdles: Mapping[str, str], ends: Mapping[int, str]) -> Any:
        """Train to the end, with a new worker whenever one is gone; return the trial.

        Args:
            hurdles: what the entrypoint does at which batch.
            ends: what happens to the worker once a step is there: `kill` or `terminate`.
        """
        (self.folder / "hurdles.json").write_text(json.dumps(hurdles))
        waiting = sorted(ends.items())
        while self._at()[0] != "ended":
            with WorkerProcess(
                self.folder, self._server.url, self._server.token, preload=True
            ) as worker:
                due = waiting[0][0] if waiting else STEPS + 1

                def over(worker: WorkerProcess = worker, due: int = due) -> bool:
                    state, step = self._at()
                    return state == "ended" or step >= due or worker.process.poll() is not None

                wait_until(over, "the trial is over, or its worker", 120.0)
                if waiting and self._at()[1] >= due:
                    getattr(worker.process, waiting.pop(0)[1])()
                else:
                    worker.terminate()  # once the trial is over, it lets its function return
                worker.wait()
                print(worker.log)
        return self._server.call("GET", f"/studies/{self._id}/trials/0")

    def _at(self) -> tuple[str, int]:
        items = self._server.call("GET", f"/studies/{self._id}/trials")["items"]
        return (items[0]["state"], items[0]["last_step"] or 0) if items else ("", 0)


def curve(trial: Any) -> list[tuple[int, float, float, dict[str, float]]]:
    """Return what counts of each step: of the last attempt that reported it."""
    last = {report["step"]: report for report in trial["reports"]}
    return [
        (
            step,
            report["value"],
            report["lr_factor"],
            {k: v for k, v in report["metrics"].items() if k != "epoch_seconds"},
        )
        for step, report in sorted(last.items())
    ]


def test_an_entrypoint(server: ServerProcess, tmp_path: Path) -> None:
    run = {"entrypoint": "code_train:main"}
    calm = Study(server, tmp_path / "calm", run).train({}, {})
    assert len(curve(calm)) == STEPS
    assert len({row[2] for row in curve(calm)}) > 1, "the rate was halved on the way"

    dice = random.Random()
    at = sorted(dice.sample(range(2, STEPS * BATCHES), 3))
    what = dice.sample(["kill", "preempt", "worker"], 3)
    hurdles = {str(batch): kind for batch, kind in zip(at, what, strict=True)}
    print(hurdles)
    rough = Study(server, tmp_path / "rough", run).train(hurdles, {})
    assert rough["attempt"] >= 3
    assert curve(rough) == curve(calm)
    finals = [(tmp_path / name / "final").read_text() for name in ("calm", "rough")]
    assert finals[0] == finals[1]


def test_the_built_in_trainer(server: ServerProcess, tmp_path: Path) -> None:
    run = {"task": "digits-mlp", "device": "cpu", "checkpoint_every": 0}
    calm = Study(server, tmp_path / "calm", run).train({}, {})
    assert len(curve(calm)) == STEPS
    dice = random.Random()
    steps = sorted(dice.sample(range(1, STEPS), 2))
    ends = dict(zip(steps, dice.sample(["kill", "terminate"], 2), strict=True))
    print(ends)
    rough = Study(server, tmp_path / "rough", run).train({}, ends)
    assert curve(rough) == curve(calm)
