"""Trials share a worker's GPUs: real workers and a real server, pretended GPUs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess

CODE = """
import json, os, time
def main(trial):
    seen, start = os.environ.get("CUDA_VISIBLE_DEVICES"), time.monotonic()
    name = f"{trial.study}-{trial.number}-{trial.attempt}"
    open(name + ".started", "w").close()
    while os.path.exists("hold-" + trial.study):
        time.sleep(0.005)
    trial.report(1, 1.0)
    told = {"study": trial.study, "seen": seen, "start": start, "end": time.monotonic()}
    if getattr(trial, "rank", 0):
        return  # the other process of a trial of two GPUs tells
    with open(name + ".tmp", "w") as file:
        json.dump(told, file)
    os.rename(name + ".tmp", name + ".json")
"""
FULL = """
import os, torch, time
def main(trial):
    open(f"{trial.study}-{trial.number}-{trial.attempt}", "w").close()
    if trial.study == "tight" and trial.attempt == 1:
        while not os.path.exists("beside-0-1"):
            time.sleep(0.005)
    if trial.study == "beside":
        while not os.path.exists("on"):
            time.sleep(0.005)
        return 1.0
    raise torch.OutOfMemoryError("CUDA out of memory")
if __name__ == "__main__":
    import tuner
    main(tuner.current_trial())
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    with ServerProcess(folder, "--heartbeat", "0.4", "--sweep", "0.2") as process:
        yield process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / "code_main.py").write_text(CODE)
    return work


def worker(server: ServerProcess, folder: Path, **config: Any) -> WorkerProcess:
    given = {"slots": 8, "gpus": ["0", "1"], "until_idle": 1.0, **config}
    return WorkerProcess(folder, server.url, server.token, **given)


def submit(server: ServerProcess, name: str, trials: int, **more: Any) -> int:
    run = more.pop("run", {})
    run = run if "command" in run else {"entrypoint": "code_main:main"} | run
    spec = {
        "name": name,
        "objective": {"metric": "val_loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": trials},
        "run": run,
        **more,
    }
    study: int = server.call("POST", "/studies", spec)["id"]
    return study


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def crowd(found: list[dict[str, Any]], shares: dict[str, float]) -> dict[str, float]:
    """Return the largest sum of the shares that ran on each GPU at a time."""
    most: dict[str, float] = {}
    for moment in (one["start"] for one in found):
        now: dict[str, float] = {}
        for one in found:
            if one["start"] <= moment < one["end"]:
                for gpu in one["seen"].split(","):
                    now[gpu] = now.get(gpu, 0.0) + min(1.0, shares[one["study"]])
        most = {gpu: max(now.get(gpu, 0), most.get(gpu, 0)) for gpu in {*now, *most}}
    return most


def test_shares_of_a_gpu_never_add_up_to_more(server: ServerProcess, folder: Path) -> None:
    shares = {"quarter": 0.25, "half": 0.5, "large": 1.0, "both": 2.0}
    submit(server, "quarter", 10, run={"gpus": 0.25})
    submit(server, "half", 4, run={"gpus": 0.5})
    submit(server, "large", 2, run={"gpus": 1}, queue={"priority": 1})
    submit(server, "both", 2, run={"gpus": 2}, queue={"priority": 2})
    with worker(server, folder) as process:
        assert process.wait() == 0
    found = told(folder)
    assert len(found) == 18
    assert {one["seen"] for one in found if one["study"] != "both"} == {"0", "1"}
    assert {one["seen"] for one in found if one["study"] == "both"} == {"0,1"}
    assert all(most <= 1 + 1e-6 for most in crowd(found, shares).values())


def test_a_trial_of_two_gpus_is_not_starved_by_small_ones(
    server: ServerProcess, folder: Path
) -> None:
    holds = folder / "hold-small"
    holds.touch()
    submit(server, "small", 60, run={"gpus": 0.25})
    with worker(server, folder, until_idle=None) as process:
        wait_until(lambda: len(list(folder.glob("small*.started"))) == 8, "the GPUs are full")
        large = submit(server, "large", 1, run={"gpus": 2}, queue={"priority": 1})
        holds.unlink()
        wait_until(lambda: server.call("GET", f"/studies/{large}")["state"] == "finished", "it ran")
        started = len(list(folder.glob("small*.started")))
        process.terminate()
        assert process.wait() == 0
    (one,) = [one for one in told(folder) if one["study"] == "large"]
    assert one["seen"] == "0,1"
    assert started < 60
    alone = [o for o in told(folder) if o["start"] < one["end"] and o["end"] > one["start"]]
    assert alone == [one]


def test_what_names_no_gpus_runs_as_before_beside_what_does(
    server: ServerProcess, folder: Path
) -> None:
    submit(server, "plain", 4)
    submit(server, "none", 2, run={"gpus": 0})
    with worker(server, folder, slots=4) as process:
        assert process.wait() == 0
    found = told(folder)
    assert {one["seen"] for one in found if one["study"] == "plain"} == {"0", "1"}
    assert {one["seen"] for one in found if one["study"] == "none"} == {""}


def test_a_worker_that_names_no_gpus_hides_them_from_what_asks_for_none(
    server: ServerProcess, folder: Path
) -> None:
    submit(server, "none", 1, run={"gpus": 0})
    submit(server, "plain", 1)
    half = submit(server, "half", 1, run={"gpus": 0.5})
    env = {"CUDA_VISIBLE_DEVICES": "7"}
    with worker(server, folder, gpus=[], slots=2, env=env) as process:
        assert process.wait() == 0
        assert server.call("GET", f"/studies/{half}")["note"] != ""
    assert {one["study"]: one["seen"] for one in told(folder)} == {"none": "", "plain": "7"}


@pytest.mark.parametrize(
    "run", [{"entrypoint": "code_main:main"}, {"command": ["python", "code_main.py"]}]
)
def test_an_oom_beside_others_is_tried_again_with_more_room(
    server: ServerProcess, folder: Path, run: dict[str, Any]
) -> None:
    (folder / "code_main.py").write_text(FULL)
    more = {"retry": {"max": 0}, "budget": {"trials": 1}}
    tight = submit(server, "tight", 1, run={**run, "gpus": 0.5}, **more)
    submit(server, "beside", 1, run={"gpus": 0.5}, **more)
    allow = ["python code_main.py"]
    with worker(server, folder, gpus=["0"], slots=2, allow_commands=allow) as process:
        wait_until(lambda: "tight #0 given back" in process.log, "it is given back")
        (folder / "on").touch()
        assert process.wait() == 0
    trial = server.call("GET", f"/studies/{tight}/trials/0")
    released = [event for event in trial["events"] if event["kind"] == "released"]
    assert [event["data"]["share"] for event in released] == [1.0]
    assert "OutOfMemoryError" in released[0]["data"]["reason"]
    assert (trial["outcome"], trial["attempt"], trial["failures"]) == ("oom", 2, 0)


NVML = """
import glob, os
from types import SimpleNamespace

class NVMLError(Exception):
    pass

def nvmlInit():
    pass

def nvmlDeviceGetHandleByIndex(index):
    return index

def nvmlDeviceGetMemoryInfo(handle):
    return SimpleNamespace(total=1000)

def nvmlDeviceGetComputeRunningProcesses(handle):
    held = [name.split("-") for name in glob.glob("held-*")]
    for _, pid, _ in held:
        # what a listing showed has been noted when the next one is made
        name = f"seen-{pid}" if os.path.exists(f"once-{pid}") else f"once-{pid}"
        open(name, "w").close()
    return [SimpleNamespace(pid=int(pid), usedGpuMemory=int(used)) for _, pid, used in held]
"""
HOLDING = """
import os, subprocess, time
def main(trial):
    open(f"started-{trial.number}", "w").close()
    if trial.number < 4:
        fork = subprocess.Popen(["sleep", "600"])  # what a trial starts counts for it
        open(f"held-{fork.pid}-100", "w").close()
        while not os.path.exists(f"seen-{fork.pid}"):
            time.sleep(0.005)
        fork.kill()
        fork.wait()
    while trial.number >= 4 and not os.path.exists("on"):
        time.sleep(0.005)
    trial.report(1, 1.0)
"""


def test_trials_are_packed_by_what_they_turn_out_to_hold(
    server: ServerProcess, folder: Path
) -> None:
    """NVIDIA's library is faked: each trial holds a tenth of the memory and declares a quarter."""
    (folder / "pynvml.py").write_text(NVML)
    (folder / "code_main.py").write_text(HOLDING)
    study = submit(server, "light", 12, run={"gpus": 0.25})

    def running() -> list[int]:
        found = server.call("GET", f"/studies/{study}/trials?limit=50")["items"]
        return [trial["number"] for trial in found if trial["state"] == "running"]

    with worker(server, folder, gpus=["0"]) as process:
        wait_until(lambda: len(running()) == 8, "eight at a time")
        assert sorted(running()) == [4, 5, 6, 7, 8, 9, 10, 11]
        (folder / "on").touch()
        assert process.wait() == 0
