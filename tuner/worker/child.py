"""A slot's child process: loads what trials need, then runs one after another.

Started by the parent as `python -m tuner.worker.child FD PARENT PRELOAD`; `FD` is its end of the
channel. It has a session of its own and dies with its parent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import sysconfig
from pathlib import Path

from tuner.worker import gang, runner, supervisor
from tuner.worker.broker import Broker
from tuner.worker.channel import ChannelClosed, ChildEnd
from tuner.worker.current import SOCKET, being
from tuner.worker.gpu_memory import peak_here
from tuner.worker.handle import ChildHandle, Line
from tuner.worker.linux import become_subreaper, die_with_parent, rank_for_oom
from tuner.worker.messages import Done, Ready, Start, Started, ToChild, Warm
from tuner.worker.reset import Baseline, release_memory

_MOST_FILES = 2000
_OOM_SCORE = 500
"""Of 1000: the kernel kills a trial for memory before the worker and most else on the node."""


class Child:
    """Takes trials from the channel until the parent closes it, or there is nothing more."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._baseline = Baseline()
        self._code: dict[str, int] = {}
        self._seen: set[str] = set()
        self._note_code()

    def serve(self) -> None:
        """Run trials until the parent is gone."""
        release_memory()
        self._line.send(Ready())
        while (message := self._line.receive(None)) is not None:
            self._take(message)

    def _take(self, message: ToChild) -> None:
        match message:
            case Warm():
                warm(message.kind, message.name)
                self._note_code()
                release_memory()
                self._line.send(Ready())
            case Start():
                self._line.send(self._run(message))
            case _:
                pass  # said to a trial that has ended

    def _run(self, start: Start) -> Done:
        self._baseline.restore(Path(start.work))
        self._line.send(Started())
        handle = ChildHandle(self._line, start)
        done = train(handle, start)
        del handle
        peak = peak_here()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        release_memory()
        self._note_code()
        clean = done.clean and not self._baseline.leaves_threads()
        return done.model_copy(update={"clean": clean, "code": self._code, "gpu_peak": peak})

    def _note_code(self) -> None:
        new = sys.modules.keys() - self._seen
        self._seen |= new
        for name in new:
            file = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(file, str) and is_users(file) and len(self._code) < _MOST_FILES:
                with contextlib.suppress(OSError):
                    self._code[file] = Path(file).stat().st_mtime_ns


def train(handle: ChildHandle, start: Start) -> Done:
    """Run a trial; while the user's own code runs, its other processes reach `handle`, too."""
    if start.kind == "task":
        return runner.run(handle, start)
    if start.kind == "command":
        return supervisor.run(handle, start)
    if start.processes > 1:
        return gang.run(handle, start)
    broker = Broker(handle, Path(start.work))
    os.environ[SOCKET] = str(broker.path)
    with broker, being(handle):
        return runner.run(handle, start)


_LIBRARIES = tuple(
    {os.path.realpath(sysconfig.get_path(key)) + os.sep for key in ("stdlib", "purelib", "platlib")}
)


def is_users(file: str) -> bool:
    """Tell whether a module's file is no installed library's, so that it may change."""
    return not os.path.realpath(file).startswith(_LIBRARIES)


def warm(kind: str, name: str) -> None:
    """Load what a program needs, as far as it goes: a trial meets the same failure and tells it."""
    with contextlib.suppress(Exception):
        if kind == "task":
            from tuner.train import warm as warm_task

            warm_task(name or None)
        else:
            runner.load("entrypoint", name)


def main(arguments: list[str]) -> None:
    """Serve the channel named by the command line."""
    number, parent, preload = arguments
    die_with_parent(int(parent))
    become_subreaper()
    rank_for_oom(_OOM_SCORE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    os.set_inheritable(int(number), False)
    if preload == "torch":
        warm("task", "")
    line = ChildEnd(socket.socket(fileno=int(number)))
    with contextlib.suppress(ChannelClosed):
        Child(line).serve()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
