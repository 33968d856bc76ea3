"""A trial of several processes: started by torchrun, brought together by a hub."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping

from tuner.worker.endings import describe
from tuner.worker.handle import ChildHandle
from tuner.worker.hub import Hub
from tuner.worker.messages import Done, Start

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_FAREWELL_S = 5.0
"""What torchrun gets to end the other ranks after one has failed; the rest is killed."""

_LOOK_S = 0.05


def run(handle: ChildHandle, start: Start) -> Done:
    """Run the trial that `start` names in `start.processes` processes.

    Raises:
        ChannelClosed: the parent is gone.
    """
    threads = max(1, start.threads // start.processes)
    told = start.model_copy(update={"threads": threads})
    with Hub(handle, told) as hub:
        launcher = subprocess.Popen(  # noqa: S603 (torch's own launcher)
            command(start.processes, str(hub.path)),
            stdin=subprocess.DEVNULL,
            env=environment(os.environ, threads),
        )
        code = _wait(launcher, hub)
        hub.settle(_FAREWELL_S if code is not None else 0.0)
        done = hub.done()
    if done is None:
        ended = "did not end" if code is None else describe(code)
        return Done(
            outcome="failed", error=f"no rank came to its end: torchrun: {ended}", clean=False
        )
    return done


def command(processes: int, socket: str) -> list[str]:
    """Return the command that starts the ranks."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr=127.0.0.1",
        f"--nproc-per-node={processes}",
        "--max-restarts=0",
        "-m",
        "tuner.worker.rank",
        socket,
    ]


def environment(base: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the ranks' environment: each has its share of the threads."""
    return {**base, **dict.fromkeys(_THREADS, str(threads))}


def _wait(launcher: subprocess.Popen[bytes], hub: Hub) -> int | None:
    """Wait for the launcher, and not for long once a rank has failed; return its exit status."""
    failed_at: float | None = None
    while True:
        try:
            return launcher.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if failed_at is None and hub.failed:
            failed_at = now
        if failed_at is not None and now - failed_at > _FAREWELL_S:
            return None
