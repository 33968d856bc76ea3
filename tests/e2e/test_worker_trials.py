"""What a worker makes of trials of all sorts, over real HTTP and in real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import Bench, alive
from tests.e2e.fake_server import TOKEN, FakeServer
from tests.e2e.worker_process import WorkerProcess, wait_until
from tuner import wire
from tuner.decision import Action, Outcome


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def bench(tmp_path: Path, server: FakeServer) -> Bench:
    return Bench(tmp_path, server)


def test_a_trial_is_reported_and_finished(bench: Bench) -> None:
    bench.code(
        """
def main(trial):
    assert trial.study == "fake" and trial.attempt == 1 and trial.seed == 7
    assert trial.resume is None and trial.steps == 3 and not trial.should_stop
    for step in range(1, trial.steps + 1):
        trial.report(step, trial.params["lr"] * step, {"acc": 0.5, "bad": float("nan")})
"""
    )
    trial = bench.server.add("code_main:main", params={"lr": 0.5}, steps=3)
    log = bench.run()
    assert [(r.step, r.value) for r in trial.reports] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert all(r.metrics == {"acc": 0.5} and r.lr_factor == 1.0 for r in trial.reports)
    assert [f.outcome for f in trial.finishes] == ["complete"]
    assert trial.finishes[0].value is None
    assert "fake #0 started (attempt 1)" in log
    assert "fake #0 complete at step 3, last val_loss 1.5" in log
    (worker,) = bench.server.workers
    assert worker.allow == ["code_*:*"]
    assert bench.server.left == ["/workers/worker-1"]


def test_a_level_is_in_force_from_the_report_after_its_decision(bench: Bench) -> None:
    def halve_each_time(item: wire.ReportItem) -> wire.DecisionView:
        return wire.DecisionView(lr_factor=item.lr_factor / 2)

    bench.server.decide = halve_each_time
    trial, _ = bench.one(
        """
def main(trial):
    for step in (1, 2, 3):
        before = trial.lr_factor
        assert trial.report(step, 1.0).lr_factor == before / 2 == trial.lr_factor
"""
    )
    assert [r.lr_factor for r in trial.reports] == [1.0, 0.5, 0.25]


def test_a_stop_is_told_and_closed(bench: Bench) -> None:
    bench.server.decide = lambda _: wire.DecisionView(
        action=Action.STOP, reason="rung", outcome=Outcome.PRUNED
    )
    trial, finish = bench.one(
        """
def main(trial):
    decision = trial.report(1, 1.0)
    assert decision.stop and decision.reason == "rung" and decision.outcome == "pruned"
    assert trial.report(2, 1.0).stop
"""
    )
    assert finish.outcome == "complete"
    assert len(trial.reports) == 1


def test_a_value_that_is_not_finite_is_said_to_diverge(bench: Bench) -> None:
    trial, _ = bench.one(
        "def main(trial):\n    trial.report(1, 1.0)\n    trial.report(2, float('inf'))\n"
    )
    assert [(r.value, r.status) for r in trial.reports] == [(1.0, "ok"), (None, "diverged")]


@pytest.mark.parametrize(
    ("returned", "outcome", "value"),
    [
        ("0.25", "complete", 0.25),  # a number is the value
        ("3", "complete", 3.0),
        ("float('nan')", "diverged", None),
        ("None", "failed", None),  # there is no value
        ("'0.5'", "failed", None),
    ],
)
def test_what_is_returned_counts_if_nothing_was_reported(
    bench: Bench, returned: str, outcome: str, value: float | None
) -> None:
    _, finish = bench.one(f"def main(trial):\n    return {returned}\n")
    assert (finish.outcome, finish.value) == (outcome, value)
    assert not finish.retry or outcome != "failed"


def test_an_exception_is_a_failure_with_its_end_of_the_traceback(bench: Bench) -> None:
    _, finish = bench.one("def main(trial):\n    raise ValueError('x' * 20_000 + ' the end')\n")
    assert finish.outcome == "failed"
    assert finish.retry
    assert finish.error.rstrip().endswith("the end")
    assert "\nValueError: xxx" in finish.error
    assert len(finish.error) <= 8192


@pytest.mark.parametrize(
    ("entrypoint", "said"),
    [
        ("code_main:absent", "code_main has no function absent"),
        ("code_absent:main", "there is no module code_absent"),
        ("other:main", "does not allow the entrypoint other:main"),
    ],
)
def test_what_can_not_run_fails_without_retry(bench: Bench, entrypoint: str, said: str) -> None:
    bench.code("")
    bench.code("from pathlib import Path\nPath('ran').touch()\n", "other")
    trial = bench.server.add(entrypoint)
    bench.run()
    (finish,) = trial.finishes
    assert (finish.outcome, finish.retry) == ("failed", False)
    assert said in finish.error
    assert not (bench.folder / "ran").exists()


def test_a_module_that_needs_a_missing_one_may_run_elsewhere(bench: Bench) -> None:
    _, finish = bench.one("import not_installed_here\n\ndef main(trial): ...\n")
    assert (finish.outcome, finish.retry) == ("failed", True)
    assert "not_installed_here" in finish.error


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        ("import ctypes; ctypes.string_at(0)", "failed", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "failed", "out of memory"),
        ("import os; os._exit(7)", "failed", "exit code 7"),
        ("import sys; sys.exit('bad')", "failed", "sys.exit('bad')"),
        ("raise MemoryError", "oom", "MemoryError"),
        ("import torch; torch.empty(2**50)", "oom", "memory"),
        ("import torch; raise torch.OutOfMemoryError('CUDA')", "oom", "CUDA"),
    ],
)
def test_a_bad_end_is_named(bench: Bench, body: str, outcome: str, said: str) -> None:
    _, finish = bench.one(f"def main(trial):\n    print('last words')\n    {body}\n")
    assert finish.outcome == outcome
    assert said in finish.error
    if "killed by" in finish.error:
        assert "last words" in finish.error


@pytest.mark.parametrize("ending", ["return 1.0", "raise ValueError", "os._exit(1)"])
def test_nothing_a_trial_started_survives_it(bench: Bench, ending: str) -> None:
    bench.one(
        f"""
import os, subprocess, time
def main(trial):
    for own_session in (False, True):
        one = subprocess.Popen(["sleep", "600"], start_new_session=own_session)
        print(one.pid, file=open("pids", "a"))
    # A daemon: its parent ends at once, so that it belongs to nobody.
    if os.fork() == 0:
        os.setsid()
        one = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print(one.pid, file=open("pids", "a"))
        os._exit(0)
    # A plain fork, which holds everything open that this process has open.
    if os.fork() == 0:
        print(os.getpid(), file=open("pids", "a"))
        time.sleep(600)
    while len(open("pids").read().split()) < 4:
        time.sleep(0.01)
    {ending}
"""
    )
    pids = [int(word) for word in bench.words("pids")]
    assert len(pids) == 4
    assert not [pid for pid in pids if alive(pid)]


def test_a_trial_without_progress_is_killed(bench: Bench) -> None:
    bench.code(
        """
import signal, time
def main(trial):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    trial.report(1, 1.0)
    time.sleep(600)
"""
    )
    trial = bench.server.add({"entrypoint": "code_main:main", "progress_timeout": 0.5})
    bench.run(kill_grace=0.2)
    (finish,) = trial.finishes
    assert finish.outcome == "failed"
    assert finish.error.endswith("no report for 0.5 s; killed")


def test_a_trial_that_lost_its_lease_is_killed_and_nothing_is_said(bench: Bench) -> None:
    bench.code(
        """
import os, signal, time
def main(trial):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("pid", "w").write(str(os.getpid()))
    trial.report(1, 1.0)
    time.sleep(600)
"""
    )
    trial = bench.server.add("code_main:main")
    with bench.worker(kill_grace=0.2) as worker:
        wait_until(lambda: trial.reports, "the first report")
        with bench.server.lock:
            bench.server.stale.add(trial.lease)
        wait_until(lambda: "lost its lease" in worker.log, "the loss is noticed")
        assert not alive(int(bench.words("pid")[0]))
        worker.terminate()
        assert worker.wait() == 0
    assert not trial.finishes
    assert not trial.releases


def test_a_flood_of_output_is_cut(bench: Bench) -> None:
    _, finish = bench.one(
        """
import sys
def main(trial):
    trial.log("the beginning")
    block = "x" * 1_000_000
    for _ in range(200):
        sys.stdout.write(block)
    print("the end")
    raise ValueError("flooded")
""",
        log_bytes=10_000,
    )
    assert "flooded" in finish.error
    (path,) = (bench.folder / "logs").glob("*.log")
    text = path.read_text()
    assert text.startswith("the beginning")
    assert "the end" in text[-100:]
    assert "left out" in text
    assert len(text) < 10_000 + 65_536 + 200


def test_children_never_see_the_token(bench: Bench) -> None:
    bench.one(
        """
import os
def main(trial):
    open("env", "w").write(repr(dict(os.environ)) + open("/proc/self/environ").read())
    return 1.0
"""
    )
    seen = (bench.folder / "env").read_text()
    assert "PATH" in seen
    assert TOKEN not in seen


def test_a_slot_sees_its_gpus(bench: Bench) -> None:
    bench.code(
        """
import os, time
def main(trial):
    open(f"gpu-{trial.number}", "w").write(os.environ["CUDA_VISIBLE_DEVICES"])
    while not all(os.path.exists(f"gpu-{n}") for n in (0, 1)):
        time.sleep(0.01)
    return 1.0
"""
    )
    for _ in range(2):
        bench.server.add("code_main:main")
    bench.run(slots=2, gpus=["4", "5"])
    assert sorted((bench.folder / f"gpu-{n}").read_text() for n in (0, 1)) == ["4", "5"]


def test_a_step_that_is_none_fails_the_trial(bench: Bench) -> None:
    trial, finish = bench.one(
        "def main(trial):\n    trial.report(1, 1.0)\n    trial.report(-1, 1.0)\n"
    )
    assert finish.outcome == "failed"
    assert not finish.retry
    assert "a step is a whole number" in finish.error
    assert [r.step for r in trial.reports] == [1]


def test_a_server_that_refuses_the_token_ends_the_worker(bench: Bench) -> None:
    with WorkerProcess(bench.folder, bench.server.url, "another-token") as worker:
        assert worker.wait() == 4
        assert "refuses" in worker.log
