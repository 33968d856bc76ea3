"""A server as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-for-a-process"
STOP_S = 60.0


@dataclass(frozen=True)
class Served:
    """A running server: where it listens, what it printed first, and its process."""

    url: str
    lines: Sequence[str]
    process: subprocess.Popen[str]

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(sig)
        return self.process.wait(STOP_S)


def command(*options: str) -> list[str]:
    """Return the command that serves."""
    return [sys.executable, "-m", "tuner", "serve", *options]


def environment(home: Path, token: str | None = TOKEN) -> dict[str, str]:
    """Return the environment of a server of this test's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TUNER_")}
    chosen = {"TUNER_ADMIN_TOKEN": token} if token else {}
    return kept | chosen | {"TUNER_HOME": str(home), "PYTHONUNBUFFERED": "1"}


@contextmanager
def served(home: Path, *options: str, token: str | None = TOKEN) -> Iterator[Served]:
    """Run a server until the context ends; it takes a free port."""
    process = subprocess.Popen(
        command("--port", "0", *options),
        cwd=ROOT,
        env=environment(home, token),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(*_greeting(process), process)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _greeting(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("admin token"):
            break
    found = re.search(r"http://\S+", "\n".join(lines))
    assert found is not None, lines
    return found[0], lines


def refused(home: Path, *options: str) -> str:
    """Run a server that can't start, and return the sentence it ends with."""
    done = subprocess.run(
        command(*options),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=STOP_S,
        check=False,
    )
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line
