"""A trial is alone: nothing it forked survives it, and its memory is its own matter."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import Bench, alive
from tests.e2e.fake_server import FakeServer
from tests.e2e.worker_process import wait_until

# Two forks, a session of its own, and an empty environment: nothing ties it to its trial.
DAEMON = """
import os, subprocess, sys, time

CODE = '''
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
'''

def daemon(name):
    subprocess.run([sys.executable, "-S", "-c", CODE, name], env={}, check=True,
                   start_new_session=True)
    while not (os.path.exists(name) and open(name).read()):
        time.sleep(0.01)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with FakeServer() as server:
        yield Bench(tmp_path, server)


def pid_in(bench: Bench, name: str) -> int:
    return int((bench.folder / name).read_text() or 0)


@pytest.mark.parametrize(
    "ending",
    [
        "return 1.0",
        "raise ValueError",
        "os._exit(3)",
        "os.kill(os.getpid(), 9)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_a_daemon_is_gone_with_its_trial_and_its_neighbour_stays(bench: Bench, ending: str) -> None:
    bench.code(
        DAEMON
        + f"""
def main(trial):
    daemon(f"daemon-{{trial.number}}")
    if trial.number == 0:
        while not os.path.exists("end"):
            time.sleep(0.01)
        return 1.0
    {ending}
"""
    )
    long = bench.server.add("code_main:main")
    with bench.worker(slots=2, max_quick_failures=0) as worker:
        wait_until((bench.folder / "daemon-0").exists, "the neighbour's daemon runs")
        short = bench.server.add("code_main:main")
        wait_until(lambda: short.finishes, "the trial is over")
        wait_until(lambda: not alive(pid_in(bench, "daemon-1")), "its daemon is gone")
        assert alive(pid_in(bench, "daemon-0"))
        (bench.folder / "end").touch()
        wait_until(lambda: long.finishes, "the neighbour is over")
        wait_until(lambda: not alive(pid_in(bench, "daemon-0")), "its daemon is gone, too")
        worker.terminate()
        assert worker.wait() == 0
    assert [finish.outcome for finish in long.finishes] == ["complete"]


def test_what_keeps_forking_is_caught(bench: Bench) -> None:
    bench.one(
        """
import os, time
def main(trial):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
            open("runner", "w").write(str(os.getpid()))
            time.sleep(0.001)
    while not os.path.exists("runner"):
        time.sleep(0.01)
    os._exit(1)
"""
    )
    before = (bench.folder / "runner").read_text()
    assert not alive(int(before or 0))
    assert (bench.folder / "runner").read_text() == before


def test_a_later_worker_ends_what_a_killed_one_left(bench: Bench) -> None:
    bench.code(
        """
import os, subprocess, time
def main(trial):
    if trial.attempt == 1:
        one = subprocess.Popen(["sleep", "600"], start_new_session=True)
        open("pid", "w").write(str(one.pid))
        time.sleep(600)
    return 1.0
"""
    )
    trial = bench.server.add("code_main:main")
    with bench.worker() as first:
        wait_until((bench.folder / "pid").exists, "the trial runs")
        wait_until(lambda: pid_in(bench, "pid"), "its process runs")
        first.process.send_signal(signal.SIGKILL)
        first.wait()
    left = pid_in(bench, "pid")
    assert alive(left)
    with bench.server.lock:
        trial.held = False
    bench.run()
    wait_until(lambda: not alive(left), "it is gone")


HUNGRY = """
import os, time
def main(trial):
    trial.report(1, 1.0)
    held = [b"x" * 2**20 for _ in range({mib})]
    if {forks}:
        for _ in range({forks}):
            if os.fork() == 0:
                more = [b"x" * 2**20 for _ in range({each})]
                time.sleep(600)
    while {forks} or {mib} > 100:
        time.sleep(0.01)
    return 1.0
"""


@pytest.mark.parametrize(
    ("mib", "forks", "each"),
    [(400, 0, 0), (1, 3, 120)],  # one process; each by itself is under the limit
)
def test_a_trial_that_takes_too_much_memory_ends_as_oom(
    bench: Bench, mib: int, forks: int, each: int
) -> None:
    bench.code(HUNGRY.format(mib=mib, forks=forks, each=each))
    trial = bench.server.add({"entrypoint": "code_main:main", "memory": "250MiB"})
    log = bench.run()
    (finish,) = trial.finishes
    assert finish.outcome == "oom"
    assert "MiB of host memory" in finish.error
    assert "its limit is 250 MiB (run.memory)" in finish.error
    assert ("processes" in finish.error) is bool(forks)
    assert finish.host_memory is not None
    assert finish.host_memory > 250 * 2**20
    assert "oom" in log


def test_shared_memory_counts_once(bench: Bench) -> None:
    bench.code(
        """
import os, time
def main(trial):
    held = [b"x" * 2**20 for _ in range(100)]
    for number in range(4):
        if os.fork() == 0:
            open(f"fork-{number}", "w").close()
            time.sleep(600)
    while not all(os.path.exists(f"fork-{n}") for n in range(4)):
        time.sleep(0.01)
    time.sleep(4.0)
    return 1.0
"""
    )
    trial = bench.server.add({"entrypoint": "code_main:main", "memory": "400MiB"})
    bench.run()
    (finish,) = trial.finishes
    assert finish.outcome == "complete"
    assert finish.host_memory is not None
    assert 100 * 2**20 < finish.host_memory < 300 * 2**20


def test_the_workers_own_limit_is_named(bench: Bench) -> None:
    bench.code(HUNGRY.format(mib=400, forks=0, each=0))
    trial = bench.server.add({"entrypoint": "code_main:main", "memory": "8GiB"})
    bench.run(memory_per_slot=250 * 2**20)
    assert "its limit is 250 MiB (--memory-per-slot)" in trial.finishes[0].error
