"""`tuner serve` in a process of its own, to be asked, stopped, killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.databases import lay_database

ROOT = Path(__file__).parents[1]
TOKEN = "a-token-of-the-tests-own-0123456789"
PROGRAM = (sys.executable, "-m", "tuner")
START_S = 120.0
STOP_S = 60.0
COMMAND_S = 240.0


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return this process's environment with `home` as the data folder, `variables` added.

    What would lead a program to the user's own server, or back to the checkout, is left out.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV") and not name.startswith("TUNER_")
    }
    return kept | {"TUNER_HOME": str(home), "OMP_NUM_THREADS": "1"} | variables


class ServerProcess:
    """A server whose data folder is `folder`, on a free port that it keeps over restarts.

    Args:
        folder: its data folder and working directory; by default its database lies there, with its
            tables. A database that `--db` names is made by the server itself.
        options: further options of `tuner serve`.
        token: its admin token; with None it makes one itself.
        program: what starts `tuner`.
        variables: further variables of its environment.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        token: str | None = TOKEN,
        program: Sequence[str] = PROGRAM,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.url = ""
        self._options = options
        self._token = token
        self._program = tuple(program)
        self._variables = dict(variables or {})
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"
        if "--db" not in options:
            lay_database(folder / "tuner.db")
        self._seen = 0

    @property
    def token(self) -> str:
        """The admin token."""
        return self._token or (self.folder / "admin-token").read_text().strip()

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of commands that use this server."""
        return environment(self.folder, TUNER_URL=self.url, TUNER_TOKEN=self.token)

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote since it was started last."""
        return self._log.read_bytes()[self._seen :].decode()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        if exc[0] is not None:
            print(self._log.read_text())

    def start(self) -> None:
        """Start it, and wait until it listens and has said where its token is."""
        given = {} if self._token is None else {"TUNER_ADMIN_TOKEN": self._token}
        self._seen = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "serve", "--port", str(self._port), *self._options],
                cwd=self.folder,
                env=environment(self.folder, **given, **self._variables),
                stdout=log,
                stderr=log,
            )
        greeting = re.compile(r"listens on (https?://\S+:(\d+))$.*^admin token: .*\n", re.M | re.S)
        deadline = time.monotonic() + START_S
        while (found := greeting.search(self.log)) is None:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        self.url, self._port = found[1], int(found[2])

    def send(self, sig: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(sig)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self._process is None:
            return 0
        self.send(sig)
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends, and return the exit code."""
        assert self._process is not None
        code = self._process.wait(STOP_S)
        self._process = None
        return code

    def kill(self) -> None:
        """Kill it at once."""
        self.stop(signal.SIGKILL)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask a route of `/api/v1` and return its JSON; a refusal fails the test."""
        reply = httpx.request(
            method,
            f"{self.url}/api/v1{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30.0,
            trust_env=False,
        )
        assert reply.is_success, reply.text
        return reply.json()

    def command(self, *args: str) -> list[str]:
        """Return a command line of `tuner`."""
        return [*self._program, *args]

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `tuner ARGS` against this server and expect this exit code."""
        ran = completed(self.command(*args), self.folder, self.env)
        assert ran.returncode == code, (args, ran.returncode, ran.stdout, ran.stderr)
        return ran


def completed(
    command: Sequence[str], folder: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def refused(home: Path, *options: str) -> str:
    """Run a server that can't start, and return the sentence it ends with."""
    env = environment(home, TUNER_ADMIN_TOKEN=TOKEN)
    done = completed([*PROGRAM, "serve", *options], home, env)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line
