"""A worker whose trials fail at once leaves service, says so, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.bench import Bench
from tests.e2e.fake_server import FakeServer
from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess
from tuner import wire
from tuner.client import Client
from tuner.decision import Action, Outcome

CRASH = "import os\ndef main(trial):\n    os._exit(9)\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with FakeServer() as server:
        yield Bench(tmp_path, server)


def test_a_worker_that_does_not_stay_ends_with_a_code_of_its_own(bench: Bench) -> None:
    bench.code(CRASH)
    trials = [bench.server.add("code_main:main") for _ in range(6)]
    with bench.worker(until_idle=30.0) as worker:
        assert worker.wait() == 7
        assert "out of service: 3 trials in a row failed within 60 s" in worker.log
        assert "exit code 9" in worker.log
    assert [len(trial.finishes) for trial in trials] == [1, 1, 1, 0, 0, 0]


def test_a_worker_that_stays_says_so_and_lets_its_trials_end(bench: Bench) -> None:
    bench.code(
        """
import os, time
def main(trial):
    if trial.number:
        os._exit(9)
    while not os.path.exists("end"):
        time.sleep(0.01)
    return 1.0
"""
    )
    long = bench.server.add("code_main:main")
    with bench.worker(slots=2) as worker:
        wait_until(lambda: long.held, "the long trial runs")
        trials = [bench.server.add("code_main:main") for _ in range(4)]
        wait_until(lambda: any(bench.server.troubles), "the server is told")
        assert (
            "3 trials in a row failed within 60 s, the last fake #3: "
            in (bench.server.troubles[-1])
        )
        assert not trials[3].held
        (bench.folder / "end").touch()
        wait_until(lambda: long.finishes, "the long trial ends")
        assert long.finishes[0].outcome == "complete"
        # Its good end shows that the node is well.
        wait_until(lambda: bench.server.troubles[-1] == "", "it serves again")
        wait_until(lambda: trials[3].held or trials[3].finishes, "it takes the next trial")
        worker.terminate()
        assert worker.wait() == 0


def test_a_trial_that_was_ended_before_its_process_crashed_counts_as_well(bench: Bench) -> None:
    bench.server.decide = lambda _: wire.DecisionView(action=Action.STOP, outcome=Outcome.COMPLETE)
    bench.code("import os\ndef main(trial):\n    trial.report(1, 1.0)\n    os._exit(9)\n")
    trials = [bench.server.add("code_main:main") for _ in range(4)]
    assert "out of service" not in bench.run()
    assert all(trial.finishes for trial in trials)


def test_a_study_whose_code_is_broken_takes_no_worker_out(bench: Bench) -> None:
    bench.code("def main(trial):\n    raise ValueError('broken')\n")
    for _ in range(5):
        bench.server.add("code_main:main")
    with bench.worker() as worker:
        wait_until(lambda: bench.server.avoided == [1], "the study is avoided")
        assert "avoiding it for 60 s" in worker.log
        assert "out of service" not in worker.log
        assert set(bench.server.troubles) <= {""}
        worker.terminate()
        assert worker.wait() == 0


def test_a_bad_node_does_not_burn_a_study(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("server", "good", "bad")}
    for folder in folders.values():
        folder.mkdir()
    (folders["bad"] / "code_main.py").write_text(CRASH)
    (folders["good"] / "code_main.py").write_text(
        "import time\ndef main(trial):\n    time.sleep(0.2)\n    return 1.0\n"
    )
    document = {
        "name": "s",
        "objective": {"metric": "loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "budget": {"trials": 12, "max_failures": 1},
        "retry": {"max": 3},
        "run": {"entrypoint": "code_main:main"},
    }
    options = ("--lease", "4", "--heartbeat", "0.2", "--sweep", "0.2")
    with (
        ServerProcess(folders["server"], *options) as server,
        Client(server.url, server.token) as client,
        WorkerProcess(folders["bad"], server.url, server.token, name="bad", slots=2) as bad,
        WorkerProcess(folders["good"], server.url, server.token, name="good") as good,
    ):
        wait_until(lambda: len(client.workers()) == 2, "both workers are there")
        study = client.submit(document).wait(120)
        assert study.view.counts["complete"] == 12
        shown = {one.name: one.trouble for one in client.workers()}
        assert shown["good"] == ""
        assert "trials in a row failed" in shown["bad"]
        assert "out of service: " in server.run("workers").stdout
        assert "tuner_workers_out_of_service 1.0" in metrics_of(server)
        for worker in (bad, good):
            worker.terminate()
            assert worker.wait() == 0


def metrics_of(server: ServerProcess) -> str:
    """Return what the server tells Prometheus."""
    headers = {"Authorization": f"Bearer {server.token}"}
    return httpx.get(f"{server.url}/metrics", headers=headers, trust_env=False).text
