"""Real workers, to be frozen with their children, and trials that go on where they stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.worker_process import WorkerProcess
from tests.faults.light import Book
from tests.serving import ServerProcess

CODE = """
import pathlib, time
def main(trial):
    step = 0
    if trial.resume is not None:
        text = trial.resume.path.read_text()
        step = int(text.split()[0])
        assert step == trial.resume.step, (step, trial.resume.step)
        assert len(text) == len(str(step)) + SIZE
    while step < trial.steps:
        step += 1
        if trial.report(step, trial.attempt + 1.0 / step).stop:
            return
        if step % 5 == 0 or trial.should_stop:
            file = pathlib.Path(f"state-{trial.number}-{trial.attempt}")
            file.write_text(str(step) + " " * SIZE)
            trial.checkpoint(step, file)
        if trial.should_stop:
            return
        time.sleep(0.02)
"""


def lay_code(folder: Path, size: int = 10) -> None:
    """Write the module that trials run; their checkpoints have about so many bytes."""
    (folder / "code_main.py").write_text(f"SIZE = {size}\n{CODE}")


class Node(WorkerProcess):
    """A real worker with two slots, that runs the trials of `code_main` in `folder`."""

    def __init__(
        self, server: ServerProcess, folder: Path, name: str, *, url: str = "", **config: Any
    ) -> None:
        settings = {"slots": 2, "wait": 1.0, "report_timeout": 60.0, **config}
        super().__init__(folder, url or server.url, server.token, name=name, **settings)
        self.name = name
        self._frozen: list[int] = []

    def worker_ids(self, book: Book) -> list[str]:
        """Return the ids it got, oldest first."""
        query = "SELECT worker_id FROM tuner_workers WHERE name = ? ORDER BY registered_at"
        return [str(row[0]) for row in book.rows(query, self.name)]

    def freeze(self) -> None:
        """Stop the parent, then its children."""
        os.kill(self.process.pid, signal.SIGSTOP)
        self._frozen = [self.process.pid, *children(self.process.pid)]
        for pid in self._frozen[1:]:
            os.kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let the children, then the parent, go on."""
        for pid in reversed(self._frozen):
            os.kill(pid, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """Return the processes a process has started that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found
