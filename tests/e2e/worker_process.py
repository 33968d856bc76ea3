"""A real worker in a process of its own, as `tuner worker` would run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

_CODE = """
import json, sys
from pathlib import Path
from tuner.worker.agent import run_worker
from tuner.worker.config import WorkerConfig
given = json.loads(sys.argv[1])
for key in ("spool", "logs"):
    given[key] = Path(given[key])
given["allow_data"] = tuple(map(Path, given.get("allow_data", ())))
for key in ("gpus", "allow"):
    given[key] = tuple(given.get(key, ()))
import os
sys.exit(run_worker(WorkerConfig(token=os.environ["TUNER_TOKEN"], **given)))
"""


def wait_until(condition: Callable[[], Any], what: str, patience: float = 60.0) -> None:
    """Poll until `condition` holds; fail after `patience` seconds, a safety net."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


class WorkerProcess:
    """A worker with `folder` as its working directory. Its log is in `log`.

    Args:
        env: variables set for it.
        config: fields of `WorkerConfig`.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        token: str,
        *,
        env: Mapping[str, str] | None = None,
        **config: Any,
    ) -> None:
        settings = {
            "url": url,
            "preload": False,
            "spool": str(folder / "spool"),
            "logs": str(folder / "logs"),
            "wait": 2.0,
            "request_timeout": 5.0,
            "allow": ["code_*:*"],
            **config,
        }
        self.log_file = folder / f"worker-{time.monotonic_ns()}.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(settings)],
                cwd=folder,
                env=os.environ
                | {"TUNER_TOKEN": token, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
                | dict(env or {}),
                stderr=log,
                stdout=log,
            )

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_file.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if exc[0] is not None:
            print(self.log)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, patience: float = 60.0) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(patience)
