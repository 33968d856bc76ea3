"""What a worker is told when it starts."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuner.allow import words_of
from tuner.errors import Fault, InvalidInput

IDLE_S = 10.0
"""Seconds without work after which `--until-idle` ends, if none are named."""


def default_name() -> str:
    """Return the name of a worker that was given none: the host's and the process's."""
    return f"{platform.node() or 'host'}-{os.getpid()}"[:100]


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Configure a worker. Durations are in seconds, sizes in bytes.

    Args:
        url: where the server is, with any path prefix before `/api/v1`.
        token: the bearer token. The parent keeps it; no child sees it.
        ca: file of the authority (PEM) that signed the server's certificate.
        slots: trials at the same time.
        gpus: devices shared out over the slots as CUDA_VISIBLE_DEVICES; `("all",)` asks the driver
            which there are, `("none",)` hides all of them, empty leaves the environment as it is.
        labels: what studies may ask for in `queue.labels`.
        allow: patterns (fnmatch) of the entrypoints that may run, such as `pkg.module:*`.
        allow_commands: patterns of the commands that may run, such as `python train.py *`;
            `tuner.allow` says what they match.
        allow_env: patterns (fnmatch) of the environment variables that studies may set for them.
        allow_data: folders below which studies may have tables read; without any, none is.
        until_idle: leave after so long without work; None stays.
        report_timeout: how long a report waits for its decision at most.
        request_timeout: after how long an unanswered request counts as failed.
        unreachable: with `until_idle`, leave when the server was away for so long with no trial.
        wait: how long one request for leases is held open by the server; a worker that leaves
            waits for the last one, since its answer may hold leases.
        kill_grace: between SIGTERM and SIGKILL when a trial is killed.
        stop_grace: what running trials get to checkpoint and return when the worker leaves.
        upload_grace: what the last checkpoint gets to be uploaded before its trial is given back.
        keep_grace: what files that a trial keeps get to be uploaded after its end.
        preload: load torch, where it is installed, before a trial arrives.
        memory_per_slot: bytes of host memory that a trial may use with all its processes.
        trials_per_child: trials after which a slot's child is replaced.
        max_quick_failures: trials in a row that may fail at once before the worker takes itself out
            of service; 0 is without a limit.
        quick_failure: what is at once: seconds from a trial's start.
        spool: where reports wait on disk while the server is away.
        spool_limit: how many reports may wait; the oldest are dropped beyond.
        logs: where the trials' output is written.
        log_bytes: what is written of one trial's output as it comes; then only its end.
        log_files: how many of these files are kept.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    slots: int = 1
    gpus: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    allow_commands: tuple[str, ...] = ()
    allow_env: tuple[str, ...] = ()
    allow_data: tuple[Path, ...] = ()
    until_idle: float | None = None
    name: str = field(default_factory=default_name)
    report_timeout: float = 5.0
    request_timeout: float = 10.0
    unreachable: float = 30.0
    wait: float = 5.0
    kill_grace: float = 10.0
    stop_grace: float = 30.0
    upload_grace: float = 30.0
    keep_grace: float = 600.0
    preload: bool = True
    memory_per_slot: int | None = None
    trials_per_child: int = 100
    max_quick_failures: int = 3
    quick_failure: float = 60.0
    spool: Path = field(default_factory=lambda: _folder() / "spool")
    spool_limit: int = 100_000
    logs: Path = field(default_factory=lambda: _folder() / "logs")
    log_bytes: int = 1 << 20
    log_files: int = 200

    def __post_init__(self) -> None:
        bounds = {
            "slots": 1 <= self.slots <= 1024,
            "until_idle": self.until_idle is None or self.until_idle >= 0,
            "report_timeout": self.report_timeout > 0,
            "request_timeout": self.request_timeout > 0,
            "wait": 0 <= self.wait <= 60,
            "trials_per_child": self.trials_per_child >= 1,
            "spool_limit": self.spool_limit >= 1,
            "max_quick_failures": self.max_quick_failures >= 0,
        }
        faults = [
            Fault(where=name, message="out of range") for name, ok in bounds.items() if not ok
        ]
        if faults:
            names = ", ".join(f"{one.where} ({getattr(self, one.where)})" for one in faults)
            raise InvalidInput(f"the worker can't be set up so: {names} out of range", faults)
        for pattern in self.allow_commands:
            words_of(pattern)


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"tuner-worker-{os.getuid()}"
