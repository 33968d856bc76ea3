"""Workers that are told to leave, die, or find the server away."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import Bench, alive
from tests.e2e.fake_server import FakeServer
from tests.e2e.worker_process import wait_until
from tuner import wire
from tuner.errors import TunerError


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with FakeServer() as server:
        yield Bench(tmp_path, server)


RESUMABLE = """
import os, pathlib, time
def main(trial):
    done = 0
    if trial.resume is not None:
        done = int(trial.resume.path.read_text())
        assert done == trial.resume.step
    print(done, file=open("starts", "a"))
    while done < 6:
        done += 1
        trial.report(done, 1.0 / done)
        if done == 3 and trial.attempt == 1:
            open("third", "w").close()
            while not trial.should_stop:
                time.sleep(0.01)
        if trial.should_stop:
            file = pathlib.Path("state.ckpt")
            file.write_text(str(done))
            trial.checkpoint(done, file)
            return
"""


def test_sigterm_means_checkpoint_release_resume(bench: Bench) -> None:
    bench.code(RESUMABLE)
    trial = bench.server.add("code_main:main", steps=6)
    with bench.worker() as worker:
        wait_until((bench.folder / "third").exists, "the third step")
        worker.terminate()
        assert worker.wait() == 0
        assert "fake #0 given back at step 3" in worker.log
    assert trial.checkpoints == [(3, b"3")]
    assert len(trial.releases) == 1
    assert not trial.finishes
    bench.run()
    assert bench.words("starts") == ["0", "3"]
    assert [r.step for r in trial.reports] == [1, 2, 3, 4, 5, 6]
    assert [f.outcome for f in trial.finishes] == ["complete"]


def test_a_trial_that_does_not_leave_is_killed_and_given_back(bench: Bench) -> None:
    bench.code(
        "import os, time\n"
        "def main(trial):\n"
        "    open('pid', 'w').write(str(os.getpid()))\n"
        "    trial.report(1, 1.0)\n"
        "    time.sleep(600)\n"
    )
    trial = bench.server.add("code_main:main")
    with bench.worker(stop_grace=0.2) as worker:
        wait_until(lambda: trial.reports, "the first report")
        worker.terminate()
        assert worker.wait() == 0
    assert len(trial.releases) == 1
    assert not alive(int(bench.words("pid")[0]))


def test_a_trial_that_reports_on_is_interrupted(bench: Bench) -> None:
    bench.code(
        "def main(trial):\n"
        "    step = 0\n"
        "    while True:\n"
        "        step += 1\n"
        "        trial.report(step, 1.0)\n"
    )
    trial = bench.server.add("code_main:main")
    with bench.worker(stop_grace=600.0) as worker:
        wait_until(lambda: trial.reports, "the first report")
        worker.terminate()
        assert worker.wait() == 0
    assert len(trial.releases) == 1
    assert not trial.finishes


def test_children_die_with_their_parent(bench: Bench) -> None:
    bench.code(
        "import os, time\n"
        "def main(trial):\n"
        "    open('pid', 'w').write(str(os.getpid()))\n"
        "    trial.report(1, 1.0)\n"
        "    time.sleep(600)\n"
    )
    trial = bench.server.add("code_main:main")
    with bench.worker() as worker:
        wait_until(lambda: trial.reports, "the first report")
        worker.process.kill()
        worker.wait()
    pid = int(bench.words("pid")[0])
    wait_until(lambda: not alive(pid), "the child is dead")


def test_a_second_interrupt_ends_at_once(bench: Bench) -> None:
    bench.code("import time\ndef main(trial):\n    trial.report(1, 1.0)\n    time.sleep(600)\n")
    trial = bench.server.add("code_main:main")
    with bench.worker(stop_grace=600.0) as worker:
        wait_until(lambda: trial.reports, "the first report")
        worker.process.send_signal(signal.SIGINT)
        wait_until(lambda: "leaving" in worker.log, "the worker leaves")
        worker.process.send_signal(signal.SIGINT)
        assert worker.wait() == 130
    assert not trial.releases


STEPS = """
import os, time
def main(trial):
    for step in range(1, 41):
        decision = trial.report(step, float(step))
        print(decision.lr_factor, file=open("levels", "a"))
        if step == 10:
            while not os.path.exists("on"):
                time.sleep(0.01)
"""


def test_no_report_is_lost_while_the_server_restarts(bench: Bench) -> None:
    def by_step(item: wire.ReportItem) -> wire.DecisionView:
        return wire.DecisionView(lr_factor=0.5 if item.step >= 20 else 1.0)

    bench.server.decide = by_step
    bench.code(STEPS)
    trial = bench.server.add("code_main:main")
    with bench.worker(report_timeout=0.2, until_idle=5.0) as worker:
        wait_until(lambda: len(trial.reports) == 10, "the tenth report")
        bench.server.stop()
        (bench.folder / "on").touch()
        wait_until(lambda: len(bench.words("levels")) == 40, "the trial trains on")
        wait_until(lambda: list((bench.folder / "spool").glob("*")), "reports are on disk")
        assert not trial.finishes
        bench.server.start()
        assert worker.wait() == 0
        assert "server away" in worker.log
        assert "server back" in worker.log
    assert [r.step for r in trial.reports] == list(range(1, 41))
    assert [f.outcome for f in trial.finishes] == ["complete"]
    assert not list((bench.folder / "spool").glob("*"))


def test_decisions_go_on_after_an_outage(bench: Bench) -> None:
    def by_step(item: wire.ReportItem) -> wire.DecisionView:
        return wire.DecisionView(lr_factor=0.5 if item.step >= 3 else 1.0)

    bench.server.decide = by_step
    bench.code(
        """
import os, time
def main(trial):
    step = 0
    while not os.path.exists("end"):
        step += 1
        decision = trial.report(step, 1.0)
        print(step, decision.lr_factor, file=open("levels", "a"))
        while step == 2 and not os.path.exists("on"):
            time.sleep(0.01)
        time.sleep(0.01)
"""
    )
    trial = bench.server.add("code_main:main")
    with bench.worker(report_timeout=0.2) as worker:
        wait_until(lambda: len(trial.reports) == 2, "the second report")
        bench.server.stop()
        (bench.folder / "on").touch()
        wait_until(lambda: len(bench.words("levels")) >= 20, "steps without a server")
        assert set(bench.words("levels")[1::2]) == {"1.0"}
        bench.server.start()
        wait_until(lambda: bench.words("levels")[-3::2] == ["0.5", "0.5"], "the level is known")
        (bench.folder / "end").touch()
        wait_until(lambda: trial.finishes, "the end")
        worker.terminate()
        assert worker.wait() == 0
    levels = [r.lr_factor for r in trial.reports]
    assert [r.step for r in trial.reports] == list(range(1, len(levels) + 1))
    assert levels == sorted(levels, reverse=True)
    assert set(levels) == {1.0, 0.5}


def test_one_outage_is_waited_for_once(bench: Bench) -> None:
    bench.code(
        """
from tuner.worker.channel import ChildEnd
waits = []
receive = ChildEnd.receive
def counting(self, timeout):
    message = receive(self, timeout)
    if timeout and message is None:
        waits.append(timeout)
    return message

def main(trial):
    import json, os, time
    ChildEnd.receive = counting
    trial.report(1, 1.0)
    while not os.path.exists("on"):
        time.sleep(0.01)
    for step in range(2, 30):
        trial.report(step, 1.0)
    ChildEnd.receive = receive
    json.dump(waits, open("waits", "w"))
"""
    )
    trial = bench.server.add("code_main:main")
    with bench.worker(report_timeout=0.3) as worker:
        wait_until(lambda: trial.reports, "the first report")
        bench.server.go.clear()
        (bench.folder / "on").touch()
        wait_until((bench.folder / "waits").exists, "the trial trains on")
        bench.server.go.set()
        wait_until(lambda: trial.finishes, "the end")
        worker.terminate()
        assert worker.wait() == 0
    assert len(json.loads((bench.folder / "waits").read_text())) == 1
    assert [r.step for r in trial.reports] == list(range(1, 30))
    assert bench.server.batches == [1, 1, 27]


def test_what_a_dead_worker_could_not_send_is_sent_by_the_next(bench: Bench) -> None:
    bench.code(STEPS)
    trial = bench.server.add("code_main:main")
    with bench.worker(report_timeout=0.2) as worker:
        wait_until(lambda: len(trial.reports) == 10, "the tenth report")
        bench.server.stop()
        (bench.folder / "on").touch()
        spool = bench.folder / "spool"
        wait_until(
            lambda: any('"finish"' in path.read_text() for path in spool.glob("*")),
            "the end is on disk",
        )
        worker.process.kill()
        worker.wait()
    bench.server.start()
    bench.run()
    assert [r.step for r in trial.reports] == list(range(1, 41))
    assert [f.outcome for f in trial.finishes] == ["complete"]
    assert not list(spool.glob("*"))


def test_a_server_that_is_never_there_ends_an_idle_worker(bench: Bench) -> None:
    bench.server.stop()
    with bench.worker(until_idle=0.1, unreachable=0.5) as worker:
        assert worker.wait() == 5


def test_a_server_that_fails_to_lease_is_named_once_and_in_the_exit_code(bench: Bench) -> None:
    bench.server.no_leases = TunerError("an error of the server's own")
    with bench.worker(until_idle=2.5) as worker:
        assert worker.wait() == 1
        assert worker.log.count("no trials could be leased") == 1


def test_a_busy_server_is_asked_again(bench: Bench) -> None:
    bench.code("def main(trial):\n    trial.report(1, 1.0)\n")
    trial = bench.server.add("code_main:main")
    bench.server.refuse = True
    with bench.worker() as worker:
        wait_until(lambda: "server away" in worker.log, "the refusal is noticed")
        bench.server.refuse = False
        wait_until(lambda: trial.finishes, "the trial is over")
        worker.terminate()
        assert worker.wait() == 0
    assert [r.step for r in trial.reports] == [1]
