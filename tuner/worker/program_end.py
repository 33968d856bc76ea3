"""How a trial's program ended, said honestly."""

from __future__ import annotations

import signal

from tuner.errors import TunerError
from tuner.text import headline
from tuner.worker.handle import ChildHandle
from tuner.worker.messages import Done
from tuner.worker.raised import printed_out_of_memory

_TAIL = 4096
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""As a program's own status, and as a shell tells it of what it ran."""


class Tail:
    """The end of what a program prints."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        """Take what was printed."""
        self._kept += data[-_TAIL:]
        del self._kept[:-_TAIL]

    @property
    def text(self) -> str:
        """The end as text."""
        return bytes(self._kept).decode("utf-8", "replace").strip()


def not_started(program: str, error: Exception) -> Done:
    """Say that a program could not be started."""
    if isinstance(error, TunerError):
        why = error.detail
    elif isinstance(error, FileNotFoundError):
        why = f"there is no program {program} on this worker"
    else:
        why = f"the program {program} can't be started: {error}"
    return Done(outcome="failed", error=why, retry=False)


def done_of(
    handle: ChildHandle, status: int, tail: str, *, oom_killed: bool, read: bool = False
) -> Done:
    """Say how a trial's program ended.

    Args:
        handle: the trial.
        status: as `subprocess` gives it, negative for a signal.
        tail: the end of what it printed.
        oom_killed: whether the kernel killed for memory here meanwhile.
        read: whether reports were looked for in what it printed.
    """
    leaving = handle.leaving
    if handle.catch_up().stop:
        return Done(outcome="complete")
    ran_out = handle.steps is not None and (handle.last_step or 0) >= handle.steps
    if leaving and not (status == 0 and ran_out):
        return Done(outcome="left")
    if status != 0:
        return _failed(status, tail, oom_killed)
    if handle.last_step is None and handle.resume is None:
        lack = "no line it printed fits run.report" if read else "it reported nothing"
        why = f"the program ended with exit code 0, but {lack}: there is no value"
        return Done(outcome="failed", error=_with(tail, why), retry=False)
    return Done(outcome="complete")


def _failed(status: int, tail: str, oom_killed: bool) -> Done:
    if status in _KILLED and oom_killed:
        why = "the program was killed by the kernel: the host's memory ran out"
        return Done(outcome="oom", error=_with(tail, why))
    where = printed_out_of_memory(headline(tail))
    return Done(
        outcome="failed" if where is None else "oom",
        error=_with(tail, _how(status)),
        gpu_full=where == "gpu",
    )


def _how(status: int) -> str:
    if status >= 0:
        return f"the program ended with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = "; the host may have run out of memory" if status == -signal.SIGKILL else ""
    return f"the program was killed by {name}{hint}"


def _with(tail: str, why: str) -> str:
    return f"its last output:\n{tail}\n\n{why}" if tail else why
