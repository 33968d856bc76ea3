"""A real server in a process of its own, to be stopped, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

_CODE = """
import json, sys
from pathlib import Path
from api.serve import serve
given = json.loads(sys.argv[1])
serve(**given)
"""
_ROOT = Path(__file__).parents[2]


class ServerProcess:
    """A server on a SQLite file in `folder`, on a port it keeps.

    Args:
        folder: also the server's data folder (`TUNER_HOME`).
        settings: arguments of `api.serve.serve`, such as `lease_s`.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.token = "e2e-token-0123456789"
        self.port = _free_port()
        self.db = f"sqlite:///{folder / 'tuner.db'}"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        if exc[0] is not None:
            print(self.log)

    def start(self, patience: float = 60.0) -> None:
        """Start it and wait until it is ready."""
        given = {"db": self.db, "port": self.port, **self._settings}
        home = {"TUNER_HOME": str(self.folder), "TUNER_ADMIN_TOKEN": self.token}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(given)],
                cwd=_ROOT,
                env=os.environ | home,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + patience
        while not self.ready():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(self.url + "/readyz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it at once."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again on the same file and port."""
        self.kill()
        self.start()

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

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(60.0)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
