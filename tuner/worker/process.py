"""A child process as its parent holds it: started, drained, and killed to the last fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

from tuner.worker import linux
from tuner.worker.channel import ParentEnd

MARK = "TUNER_CHILD"
"""Environment variable that names the worker; by it a later one finds what this one left behind."""

_SECRETS = ("TUNER_TOKEN", "TUNER_ADMIN_TOKEN", "TUNER_WORKER_TOKEN")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_READ = 64 << 10
_READS = 64
_LIVING: set[int] = set()
_ROUNDS = 100
"""How often what stems from a child is looked for and killed, before it is given up."""
_ROUND_S = 0.01
_QUIET = 3
"""Looks in a row that find nothing, before nothing is there: one may miss what is just forking."""
_REAPING = threading.Lock()


@contextlib.contextmanager
def not_reaping() -> Iterator[None]:
    """Kill and collect nothing meanwhile: other programs are run that are no orphans."""
    with _REAPING:
        yield


class Orphans:
    """What stems from children that died.

    Each child is a subreaper and keeps its own orphans while it lives. So whatever this process
    adopts has lost its child and is killed, whatever session and environment it gave itself.

    Made when the worker starts: children that this process had before are left alone.
    """

    def __init__(self) -> None:
        own = os.getpid()
        self._before = {one.pid for one in linux.processes().values() if one.parent == own}

    async def end(self) -> None:
        """Kill them all, and collect the ended ones."""
        for _ in range(_ROUNDS):
            all_of = await asyncio.to_thread(linux.processes)
            if not self.look(all_of):
                return
            await asyncio.sleep(_ROUND_S)

    def look(self, all_of: Mapping[int, linux.Process]) -> int:
        """Kill and collect those among all processes; return how many lived, or may live.

        Call it where children are started, or a child just started may be taken for an orphan.
        """
        if not _REAPING.acquire(blocking=False):
            return 1
        try:
            known = _LIVING | self._before
            found, quiet = 0, 0
            while quiet < _QUIET and found < _ROUNDS:
                some = linux.strays(all_of, known)
                linux.kill(some)
                linux.reap_orphans(all_of, _LIVING)
                found += len(some)
                quiet = 0 if some else quiet + 1
                all_of = linux.children()
            return found
        finally:
            _REAPING.release()


def end_leftovers() -> int:
    """Kill what workers that were killed themselves left behind; return how many processes."""
    found = linux.leftovers(linux.processes(), MARK)
    linux.kill(found)
    return len(found)


def child_environment(
    base: Mapping[str, str], *, mark: str, threads: int, devices: str | None
) -> dict[str, str]:
    """Return a child's environment: no tokens, its threads, its GPUs.

    Threads that the user set are left as they are.
    """
    found = {key: value for key, value in base.items() if key not in _SECRETS}
    for key in _THREADS:
        if not found.get(key):  # empty means unset to OpenMP, which would take every core
            found[key] = str(threads)
    found[MARK] = mark
    if devices is not None:
        found["CUDA_VISIBLE_DEVICES"] = devices
    return found


def kill_all() -> None:
    """Kill every child with all that stems from it, without waiting."""
    all_of = linux.processes()
    for pid in list(_LIVING):
        linux.kill([*linux.belongings(pid, all_of), pid])


class ChildProcess:
    """A running child.

    `variables` is the environment that it started with.

    Args:
        process: the process, leader of its own session.
        line: the parent's end of its channel.
        orphans: what is looked for when it has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes], line: ParentEnd, orphans: Orphans) -> None:
        self.pid = process.pid
        self.line = line
        self.variables: Mapping[str, str] = {}
        self.exited = asyncio.Event()
        self.write: Callable[[bytes], None] = lambda _: None
        self._process = process
        self._ending = asyncio.Lock()
        self._ended = False
        self._orphans = orphans
        self._pidfd = os.pidfd_open(process.pid)
        assert process.stdout is not None
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._on_exit)
        loop.add_reader(self._pipe, self._on_output)

    @classmethod
    async def start(
        cls, orphans: Orphans, *, threads: int, devices: str | None, preload: bool
    ) -> ChildProcess:
        """Start a child; it loads torch if `preload`."""
        mine, its = socket.socketpair()
        mark = linux.own_name()
        variables = child_environment(os.environ, mark=mark, threads=threads, devices=devices)
        with its:
            process = subprocess.Popen(  # noqa: S603 (this program itself)
                [
                    sys.executable,
                    "-m",
                    "tuner.worker.child",
                    str(its.fileno()),
                    str(os.getpid()),
                    "torch" if preload else "none",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[its.fileno()],
                start_new_session=True,
                env=variables,
            )
        _LIVING.add(process.pid)
        child = cls(process, await ParentEnd.over(mine), orphans)
        child.variables = variables
        return child

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self.exited.is_set()

    def ask_to_end(self) -> None:
        """Send SIGTERM to the child's process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)

    def devour(self) -> None:
        """Throw away what the child prints, until the next trial listens."""
        self.write = lambda _: None

    def drain(self) -> None:
        """Read what it has printed so far."""
        for _ in range(_READS):
            if not self._on_output():
                return

    async def forks(self) -> list[int]:
        """Return the processes that the child started and that still run."""
        return await asyncio.to_thread(self._forks)

    async def end(self, grace: float = 0.0) -> int:
        """Kill the child with all that stems from it; return its exit status.

        Args:
            grace: seconds between SIGTERM and SIGKILL; 0 for SIGKILL at once.

        Returns:
            The exit code, or the signal's number, negative. The same again if called again.
        """
        async with self._ending:
            if not self._ended:
                await self._end(grace)
                self._ended = True
        return self._process.returncode

    async def _end(self, grace: float) -> None:
        if grace > 0 and self.alive:
            self.ask_to_end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.exited.wait(), grace)
        # Again for what was forked meanwhile; the child last, since it keeps its orphans.
        for _ in range(_ROUNDS):
            forks = await self.forks()
            linux.kill(forks)
            if not forks:
                break
            await asyncio.sleep(_ROUND_S)
        linux.kill([self.pid])
        await self.exited.wait()
        await self._orphans.end()
        while self._on_output():
            pass
        await self._close()

    def _forks(self) -> list[int]:
        return linux.belongings(self.pid, linux.processes())

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self.exited.set()

    def _on_output(self) -> bool:
        try:
            data = os.read(self._pipe, _READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self.write(data)
        else:
            asyncio.get_running_loop().remove_reader(self._pipe)
        return bool(data)

    async def _close(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        loop.remove_reader(self._pipe)
        self._process.wait()
        _LIVING.discard(self.pid)
        os.close(self._pidfd)
        if self._process.stdout is not None:
            self._process.stdout.close()
        await self.line.close()
