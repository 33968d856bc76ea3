"""What Linux offers to keep track of processes: parent-death signals, a subreaper, `/proc`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")


class Process(NamedTuple):
    """A process as `/proc` tells it."""

    pid: int
    parent: int
    session: int
    zombie: bool


def become_subreaper() -> None:
    """Adopt whatever a child forked and left behind, so that it can be found and killed."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_environment() -> None:
    """Keep other processes of this user from reading this one's memory and environment."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent `parent` ends; leave if it already has."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def processes() -> dict[int, Process]:
    """Return all processes by pid."""
    found = {}
    for name in os.listdir(_PROC):  # noqa: PTH208 (names only, a tenth of the time)
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                one = _stat(int(name))
                found[one.pid] = one
    return found


def belongings(root: int, mark: bytes, all_of: Mapping[int, Process]) -> list[int]:
    """Return the living processes that stem from the child `root`, itself excepted.

    They are its descendants, its session's members, and this process's orphans whose environment
    carries `mark`.
    """
    own = os.getpid()
    found = {root} | {
        one.pid
        for one in all_of.values()
        if one.parent == own and one.pid != root and mark in environment(one.pid)
    }
    while True:
        more = {
            one.pid
            for one in all_of.values()
            if one.pid not in found and (one.parent in found or one.session == root)
        }
        if not more:
            break
        found |= more
    return [pid for pid in found if pid != root and not all_of[pid].zombie]


def environment(pid: int) -> bytes:
    """Return the environment a process started with, empty if it can't be read."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL to each; those already gone are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def reap_orphans(known: Iterable[int]) -> None:
    """Collect the ended processes that were adopted; `known` are left to who started them."""
    kept = set(known)
    own = os.getpid()
    for one in processes().values():
        if one.parent == own and one.zombie and one.pid not in kept:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one.pid, os.WNOHANG)


def oom_kills() -> int:
    """Return how often the kernel killed for memory in this control group, 0 if unknown."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(
            line
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        )
        folder = Path("/sys/fs/cgroup") / line[3:].lstrip("/")
        events = (folder / "memory.events").read_text().split()
        return int(events[events.index("oom_kill") + 1])
    return 0


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def _stat(pid: int) -> Process:
    text = (_PROC / str(pid) / "stat").read_text()
    state, parent, _, session = text[text.rindex(")") + 2 :].split()[:4]
    return Process(pid=pid, parent=int(parent), session=int(session), zombie=state in "ZX")
