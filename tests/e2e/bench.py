"""A fake server, and real workers that run code written for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.fake_server import TOKEN, FakeServer, FakeTrial
from tests.e2e.worker_process import WorkerProcess
from tuner import wire


class Bench:
    """Put modules into `folder`, where workers run, and trials into `server`."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        self.folder = folder
        self.server = server

    def code(self, text: str, name: str = "code_main") -> None:
        """Write a module of the user's."""
        (self.folder / f"{name}.py").write_text(text)

    def worker(self, **config: Any) -> WorkerProcess:
        """Start a worker."""
        return WorkerProcess(self.folder, self.server.url, TOKEN, **config)

    def run(self, **config: Any) -> str:
        """Work until nothing is left; return the worker's log."""
        with self.worker(until_idle=0.1, **config) as worker:
            assert worker.wait() == 0
            return worker.log

    def one(self, text: str, **config: Any) -> tuple[FakeTrial, wire.FinishTrial]:
        """Run one trial of `text`'s `main`; return it with its only finish."""
        self.code(text)
        trial = self.server.add("code_main:main")
        self.run(**config)
        assert len(trial.finishes) == 1
        return trial, trial.finishes[0]

    def words(self, name: str) -> list[str]:
        """Return what a trial wrote into a file."""
        return (self.folder / name).read_text().split()


def alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
