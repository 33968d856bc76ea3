"""A slot's child is warm: kept between trials as long as that harms none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import Bench
from tests.e2e.fake_server import FakeServer
from tests.e2e.worker_process import wait_until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with FakeServer() as server:
        yield Bench(tmp_path, server)


PID = """
import os
def main(trial):
    print(os.getpid(), file=open("pids", "a"))
    {body}
    return 1.0
"""


def test_a_child_takes_the_next_trial_of_the_same_entrypoint(bench: Bench) -> None:
    bench.code(PID.format(body=""))
    for _ in range(3):
        bench.server.add("code_main:main")
    bench.run()
    assert len(bench.words("pids")) == 3
    assert len(set(bench.words("pids"))) == 1


def test_a_child_is_replaced_after_so_many_trials(bench: Bench) -> None:
    bench.code(PID.format(body=""))
    for _ in range(4):
        bench.server.add("code_main:main")
    bench.run(trials_per_child=2)
    pids = bench.words("pids")
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_child_is_replaced_after_a_failure(bench: Bench) -> None:
    bench.code(PID.format(body="assert trial.number != 0"))
    for _ in range(3):
        bench.server.add("code_main:main")
    bench.run()
    pids = bench.words("pids")
    assert pids[0] != pids[1] == pids[2]


def test_a_child_is_replaced_when_its_code_changed(bench: Bench) -> None:
    bench.code("VALUE = 1.0\n", "helper_of_code")
    bench.code(PID.format(body="import helper_of_code; return helper_of_code.VALUE"))
    trials = [bench.server.add("code_main:main")]
    with bench.worker() as worker:
        wait_until(lambda: trials[0].finishes, "the first trial")
        path = bench.folder / "helper_of_code.py"
        path.write_text("VALUE = 2.5\n")
        os.utime(path, (1, 1))
        trials.append(bench.server.add("code_main:main"))
        wait_until(lambda: trials[1].finishes, "the second trial")
        worker.terminate()
        assert worker.wait() == 0
    assert [t.finishes[0].value for t in trials] == [1.0, 2.5]
    assert len(set(bench.words("pids"))) == 2


def test_a_trial_notices_nothing_of_the_one_before(bench: Bench) -> None:
    bench.code(
        """
import os, random, tempfile, torch
def main(trial):
    seen = (random.random(), torch.rand(1).item(), os.environ.get("LEFT"), os.getcwd(),
            torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled())
    print(*seen, file=open("seen", "a"))
    open(tempfile.mkstemp()[1], "w").write("temporary")
    print(tempfile.gettempdir(), file=open("folders", "a"))
    os.environ["LEFT"] = "behind"
    os.chdir("/")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    return 1.0
"""
    )
    for _ in range(2):
        bench.server.add("code_main:main")
    bench.run()
    first, second = (bench.folder / "seen").read_text().splitlines()
    assert first == second
    assert "None" in first
    assert not [folder for folder in bench.words("folders") if Path(folder).exists()]
