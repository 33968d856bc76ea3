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
import uuid
from collections.abc import Callable, Iterator, Mapping

from tuner.worker import linux
from tuner.worker.channel import ParentEnd

MARK = "TUNER_CHILD"
"""Environment variable by which a child's forks are known."""

_SECRETS = ("TUNER_TOKEN", "TUNER_ADMIN_TOKEN")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_READ = 64 << 10
_LIVING: set[int] = set()
_REAPING = threading.Lock()


def reap() -> None:
    """Collect the orphans that were adopted from children and have ended, unless not now."""
    if _REAPING.acquire(blocking=False):
        try:
            linux.reap_orphans(_LIVING)
        finally:
            _REAPING.release()


@contextlib.contextmanager
def not_reaping() -> Iterator[None]:
    """Reap nothing meanwhile: other programs are run, whose exit codes would be lost."""
    with _REAPING:
        yield


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
        linux.kill([*linux.belongings(pid, MARK.encode(), all_of), pid])


class ChildProcess:
    """A running child.

    `variables` is the environment that it started with.

    Args:
        process: the process, leader of its own session.
        line: the parent's end of its channel.
    """

    def __init__(self, process: subprocess.Popen[bytes], line: ParentEnd, mark: str) -> None:
        self.pid = process.pid
        self.line = line
        self.variables: Mapping[str, str] = {}
        self.exited = asyncio.Event()
        self.write: Callable[[bytes], None] = lambda _: None
        self._process = process
        self._ending = asyncio.Lock()
        self._ended = False
        _LIVING.add(process.pid)
        self._mark = f"{MARK}={mark}".encode()
        self._pidfd = os.pidfd_open(process.pid)
        assert process.stdout is not None
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._on_exit)
        loop.add_reader(self._pipe, self._on_output)

    @classmethod
    async def start(cls, *, threads: int, devices: str | None, preload: bool) -> ChildProcess:
        """Start a child; it loads torch if `preload`."""
        mine, its = socket.socketpair()
        mark = uuid.uuid4().hex
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
        child = cls(process, await ParentEnd.over(mine), mark)
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
        # Killing twice catches what was forked while the first list was made.
        for _ in range(2):
            linux.kill(await self.forks())
            linux.kill([self.pid])
        await self.exited.wait()
        while self._on_output():
            pass
        await self._close()

    def _forks(self) -> list[int]:
        return linux.belongings(self.pid, self._mark, linux.processes())

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
        reap()
        os.close(self._pidfd)
        if self._process.stdout is not None:
            self._process.stdout.close()
        await self.line.close()
