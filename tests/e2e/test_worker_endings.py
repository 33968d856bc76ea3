"""How trials end is told as it was, in bounds, and without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bench import Bench
from tests.e2e.fake_server import TOKEN, FakeServer
from tests.e2e.worker_process import WorkerProcess
from tuner.text import headline

SECRET = "s3cr3t-of-the-node"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with FakeServer() as server:
        yield Bench(tmp_path, server)


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        ("import ctypes; ctypes.string_at(0)", "failed", "the process was killed by SIGSEGV"),
        ("import os; os._exit(3)", "failed", "the process ended with exit code 3 in mid-trial"),
        ("import os; os._exit(0)", "failed", "the process ended with exit code 0 in mid-trial"),
        ("import os; os.kill(os.getpid(), 9)", "failed", "the process was killed by SIGKILL"),
        ("import os; os.abort()", "failed", "the process was killed by SIGABRT"),
        ("raise MemoryError", "oom", "the host's memory ran out: MemoryError"),
        ("x = [0] * 2**60", "oom", "the host's memory ran out: MemoryError"),
        ("def deep(): return deep()\n    deep()", "failed", "RecursionError: maximum recursion"),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
        (
            "raise ExceptionGroup('two', [ValueError('a'), OSError('b')])",
            "failed",
            "ExceptionGroup: two",
        ),
        ("raise type('Odd', (Exception,), {'__str__': lambda s: 1 / 0})", "failed", "Odd"),
        (
            "raise UnicodeError('half \\ud800 pair \\0')",
            "failed",
            "UnicodeError: half ? pair \ufffd",
        ),
    ],
)
def test_an_end_is_named(bench: Bench, body: str, outcome: str, said: str) -> None:
    _, finish = bench.one(f"def main(trial):\n    {body}\n")
    assert (finish.outcome, said in headline(finish.error)) == (outcome, True), finish.error
    assert len(finish.error) <= 8192 + 200


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def main(trial:\n    pass", "SyntaxError"),
        ("import ctypes; ctypes.CDLL('libabsent.so')", "OSError: libabsent.so"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("import os; os._exit(4)", "exit code 4"),
    ],
)
def test_a_module_that_fails_to_load_is_told(bench: Bench, code: str, said: str) -> None:
    _, finish = bench.one(f"{code}\n")
    assert finish.outcome == "failed"
    assert said in finish.error


def test_a_message_of_a_megabyte_is_cut_and_the_traceback_stays(bench: Bench) -> None:
    _, finish = bench.one(
        "def main(trial):\n    raise ValueError('begin ' + 'x' * 1_000_000 + ' the end')\n"
    )
    assert len(finish.error) <= 8192
    assert "ValueError: begin xxx" in finish.error
    assert finish.error.rstrip().endswith("the end")
    assert "code_main.py" in finish.error


def test_no_secret_is_in_an_error(bench: Bench) -> None:
    bench.code(
        """
import os, sys
def main(trial):
    print("env:", os.environ["NODE_API_KEY"])
    def call(url):
        raise ConnectionError(f"{url} {os.environ['NODE_API_KEY']} Authorization: Bearer abcdefgh")
    if trial.number == 0:
        call("https://ann:hunter2@host/x")
    if trial.number == 1:
        raise ValueError("x" * 8150 + os.environ["NODE_API_KEY"] + "y" * 8150)
    os._exit(1)
"""
    )
    trials = [bench.server.add("code_main:main") for _ in range(3)]
    env = {"NODE_API_KEY": SECRET}
    with WorkerProcess(
        bench.folder, bench.server.url, TOKEN, until_idle=0.1, max_quick_failures=0, env=env
    ) as worker:
        assert worker.wait() == 0
        told = [worker.log, *(finish.error for t in trials for finish in t.finishes)]
    logs = [path.read_text() for path in (bench.folder / "logs").glob("*.log")]
    assert len(logs) == len(trials)
    for text in (*told, *logs, *(line for t in trials for line in t.printed)):
        assert "s3cr3t" not in text
        assert "of-the-node" not in text
        assert "hunter2" not in text
        assert "abcdefgh" not in text
    assert "https://ann:***@host/x *** Authorization: Bearer ***" in trials[0].finishes[0].error
    assert trials[2].finishes[0].error.startswith("its last output:\n> env: ***")
    assert trials[0].printed == ["env: ***"]


def test_no_progress_says_how_long(bench: Bench) -> None:
    bench.code("import time\ndef main(trial):\n    print('busy')\n    time.sleep(600)\n")
    trial = bench.server.add({"entrypoint": "code_main:main", "progress_timeout": 1.5})
    bench.run(kill_grace=0.2)
    (finish,) = trial.finishes
    assert finish.error == "its last output:\n> busy\n\nno report for 1.5 s; killed"
