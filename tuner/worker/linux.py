"""What Linux offers to keep track of processes: parent-death signals, a subreaper, `/proc`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A process as `/proc` tells it."""

    pid: int
    parent: int
    session: int
    zombie: bool
    started: int
    """Clock ticks from the boot to its start: with the pid, what no other process ever has."""


def become_subreaper() -> None:
    """Adopt whatever stems from this process and lost its parent, so that it can be found."""
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


def children() -> dict[int, Process]:
    """Return this process's children, adopted ones included; none where the kernel has no list.

    It costs microseconds: what forks and leaves meanwhile does not slip through, as it may through
    `processes`.
    """
    found = {}
    for task in (_PROC / "self/task").iterdir():
        with contextlib.suppress(OSError):
            for word in (task / "children").read_text().split():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    found[int(word)] = _stat(int(word))
    return found


def rank_for_oom(score: int) -> None:
    """Let the kernel rather kill this process, and what it forks, than others for memory."""
    with contextlib.suppress(OSError, ValueError):
        file = _PROC / "self/oom_score_adj"
        file.write_text(str(max(score, int(file.read_text()))))


def belongings(root: int, all_of: Mapping[int, Process]) -> list[int]:
    """Return the living processes that stem from the child `root`, itself excepted.

    They are its descendants, and its session's members. While `root` lives and is a subreaper,
    nothing that stems from it can be elsewhere.
    """
    found = {root}
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


def strays(all_of: Mapping[int, Process], known: Collection[int]) -> list[int]:
    """Return this process's living orphans: what a child left behind that died.

    They are the children of this process in another session that are not among `known`. Of those it
    starts itself only the known ones have another session, and no process can enter a session of
    others.
    """
    own, session = os.getpid(), os.getsid(0)
    return [
        one.pid
        for one in all_of.values()
        if one.parent == own and one.session != session and not one.zombie and one.pid not in known
    ]


def own_name() -> str:
    """Return a name of this process that no other on this machine has until the next boot."""
    space = (_PROC / "self/ns/pid").readlink().name
    pid = os.getpid()
    return f"{space}.{pid}.{_stat(pid).started}"


def leftovers(all_of: Mapping[int, Process], variable: str) -> list[int]:
    """Return the living processes that an environment variable ties to a process that is gone.

    Its value is what `own_name` gave there. Those of other PID namespaces can't be told.
    """
    space = (_PROC / "self/ns/pid").readlink().name
    alive = {f"{space}.{one.pid}.{one.started}" for one in all_of.values() if not one.zombie}
    found = []
    for pid in all_of:
        owner = _variable(pid, variable)
        if owner.startswith(f"{space}.") and owner not in alive:
            found.append(pid)
    return found


def memory_of(pids: Collection[int], *, exact_above: int) -> int:
    """Return the bytes of host memory that processes hold together.

    Pages that several of them share are counted once (`Pss`). Where the simple sum, which counts
    them for each, is not above `exact_above`, that sum is returned: it costs much less.
    """
    simple = sum(map(_resident, pids))
    if len(pids) <= 1 or simple <= exact_above:
        return simple
    return sum(map(_proportional, pids))


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL to each; those already gone are no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def reap_orphans(all_of: Mapping[int, Process], known: Collection[int]) -> None:
    """Collect the ended processes that were adopted; `known` are left to who started them."""
    own, session = os.getpid(), os.getsid(0)
    for one in all_of.values():
        adopted = one.session != session and one.pid not in known
        if one.parent == own and one.zombie and adopted:
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


def _variable(pid: int, name: str) -> str:
    try:
        held = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return ""
    start = f"{name}=".encode()
    found = next((item for item in held.split(b"\0") if item.startswith(start)), b"")
    return found[len(start) :].decode("utf-8", "replace")


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0  # it is gone


def _proportional(pid: int) -> int:
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
        words = text[text.index("\nPss:") :].split(maxsplit=2)
        return int(words[1]) << 10
    except (OSError, IndexError, ValueError):
        return _resident(pid)  # it hides its memory, or is gone


def _stat(pid: int) -> Process:
    text = (_PROC / str(pid) / "stat").read_text()
    words = text[text.rindex(")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(words[1]),
        session=int(words[3]),
        zombie=words[0] in "ZX",
        started=int(words[19]),
    )
