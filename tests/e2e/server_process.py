"""A real server in a process of its own, as `tuner serve` runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

TOKEN = "a-token-of-the-tests-own-0123456789"
PATIENCE_S = 120.0


class ServerProcess:
    """`tuner serve` on an SQLite file in `folder`, on a free port it keeps over restarts."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.url = ""
        self._options = options
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of commands that use this server."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TUNER_")}
        return kept | {
            "TUNER_HOME": str(self.folder / "home"),
            "TUNER_URL": self.url,
            "TUNER_TOKEN": TOKEN,
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it listens."""
        database = f"sqlite:///{self.folder / 'tuner.db'}"
        command = ["serve", "--db", database, "--port", str(self._port), *self._options]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tuner", *command],
                cwd=self.folder,
                env={**self.env, "TUNER_ADMIN_TOKEN": TOKEN},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(r"listens on (http://\S+:(\d+))", self.log.read_text())) is None:
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        self.url, self._port = found[1], int(found[2])

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        if self._process is None:
            return
        self._process.send_signal(sig)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def command(self, *args: str) -> list[str]:
        """Return a command line of `tuner`."""
        return [sys.executable, "-m", "tuner", *args]

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `tuner ARGS` against this server and expect this exit code."""
        ran = subprocess.run(
            self.command(*args),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        assert ran.returncode == code, (args, ran.returncode, ran.stdout, ran.stderr)
        return ran
