"""Runs a trial's program in the slot's child: starts it, reads it, tells it, ends it.

The program gets a process group of its own within the child's session, so that the parent finds
and kills all that stems from it as it does for a function.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tuner.decision import Decision
from tuner.errors import InvalidInput
from tuner.worker.broker import Broker
from tuner.worker.handle import ChildHandle
from tuner.worker.linux import die_with_parent, oom_kills
from tuner.worker.messages import CommandLine, Done, Start
from tuner.worker.program_end import Tail, done_of, not_started
from tuner.worker.scribe import PatternTooSlow, Scribe
from tuner.worker.told import DecisionFile, environment

_TICK_S = 0.2
_READ = 64 << 10
_DRAINS = 64
"""Reads from the pipe after the end, which something the program left behind may keep filling."""


def run(handle: ChildHandle, start: Start) -> Done:
    """Run the trial's program to its end; every way it can end is a `Done`.

    Raises:
        ChannelClosed: the parent is gone.
    """
    assert start.command is not None
    told = DecisionFile(Path(start.work), handle)
    kills = oom_kills()
    broker = Broker(handle, Path(start.work), on_report=told.refresh)
    try:
        scribe = _scribe(handle, start)
        process = _started(start, broker)
    except (InvalidInput, OSError, ValueError) as exc:
        broker.close()
        return not_started(start.command.argv[0], exc)
    with broker, Supervisor(handle, start.command, process, scribe, told) as supervisor:
        try:
            status = supervisor.watch()
        except PatternTooSlow as exc:
            return Done(outcome="failed", error=exc.detail, retry=False)
    killed = oom_kills() > kills
    tail = supervisor.tail.text
    return done_of(handle, status, tail, oom_killed=killed, read=scribe is not None)


def _scribe(handle: ChildHandle, start: Start) -> Scribe | None:
    lines = start.command.report if start.command is not None else None
    return None if lines is None else Scribe(handle, lines, start.metric)


def _started(start: Start, broker: Broker) -> subprocess.Popen[bytes]:
    assert start.command is not None
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    # No thread of the broker's runs yet that could hold a lock over the fork.
    return subprocess.Popen(  # noqa: S603 (what the worker's configuration allows)
        start.command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(os.environ, start, broker.path),
        process_group=0,
        preexec_fn=prepare,  # noqa: PLW1509
    )


class Supervisor:
    """A running program. As a context manager it leaves neither it nor a handler behind."""

    def __init__(
        self,
        handle: ChildHandle,
        line: CommandLine,
        process: subprocess.Popen[bytes],
        scribe: Scribe | None,
        told: DecisionFile,
    ) -> None:
        self.tail = Tail()
        self._handle = handle
        self._line = line
        self._process = process
        self._told = told
        self._scribe = scribe
        self._known = handle.decision
        self._plan: Iterator[tuple[float, signal.Signals]] | None = None
        self._next: tuple[float, signal.Signals] | None = None
        self._asked_to_leave = False
        self._killed = False
        assert process.stdout is not None
        self._pipe: int | None = process.stdout.fileno()
        self._exit = os.pidfd_open(process.pid)
        self._before = signal.getsignal(signal.SIGTERM)

    def __enter__(self) -> Supervisor:
        signal.signal(signal.SIGTERM, self._on_sigterm)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._send(signal.SIGKILL)
            self._process.wait()
        os.close(self._exit)
        assert self._process.stdout is not None
        self._process.stdout.close()
        signal.signal(signal.SIGTERM, self._before)

    def watch(self) -> int:
        """Attend to the program until it ends; return its exit status."""
        assert self._pipe is not None
        os.set_blocking(self._pipe, False)
        poll = select.poll()
        poll.register(self._exit, select.POLLIN)
        poll.register(self._pipe, select.POLLIN)
        while True:
            ready = dict(poll.poll(_TICK_S * 1000))
            if self._pipe in ready and not self._read():
                poll.unregister(self._pipe)
                self._pipe = None
            if self._exit in ready:
                break
            self._attend()
        status = self._process.wait()
        self._drain()
        if self._asked_to_leave:
            self._linger()
        if self._killed:
            # The parent ends this trial: it gets what it asked for, once the program is over.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        return status

    def _attend(self) -> None:
        handle = self._handle
        # A program that reports itself applies a level when it gets the reply, and not before.
        decision = handle.catch_up() if self._scribe is not None else handle.decision
        leaving = handle.leaving
        self._told.refresh()
        if decision.stop and self._plan is None:
            self._plan = self._ending(time.monotonic())
            self._next = next(self._plan, None)
        elif leaving and not self._asked_to_leave:
            self._asked_to_leave = True
            self._send(signal.SIGTERM)
        self._tell_rate(decision)
        while self._next is not None and time.monotonic() >= self._next[0]:
            self._send(self._next[1])
            assert self._plan is not None
            self._next = next(self._plan, None)

    def _ending(self, now: float) -> Iterator[tuple[float, signal.Signals]]:
        """Yield when a program that was told to stop gets which signal."""
        line = self._line
        by_default = signal.SIGTERM if line.report is not None else None
        first = signal.Signals[line.on_stop] if line.on_stop is not None else by_default
        if first is not None:
            yield now, first
        at = now + line.stop_grace
        if first is not signal.SIGTERM:
            yield at, signal.SIGTERM
            at += line.kill_grace
        yield at, signal.SIGKILL

    def _tell_rate(self, decision: Decision) -> None:
        changed = decision.lr_factor != self._known.lr_factor
        self._known = decision
        if changed and not decision.stop and self._line.on_rate is not None:
            self._send(signal.Signals[self._line.on_rate])

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone; the last one to all of its group."""
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    def _read(self) -> bool:
        """Pass on what was printed; tell whether more may come."""
        assert self._pipe is not None
        try:
            data = os.read(self._pipe, _READ)
        except BlockingIOError:
            return True
        if not data:
            return False
        self.tail.write(data)
        _write_all(data)
        if self._scribe is not None:
            self._scribe.feed(data)
        return True

    def _drain(self) -> None:
        if self._pipe is not None:
            for _ in range(_DRAINS):
                if not select.select([self._pipe], [], [], 0)[0] or not self._read():
                    break
        if self._scribe is not None:
            self._scribe.end()

    def _linger(self) -> None:
        """Let what a wrapper left in its group save, too, until the parent's grace is over."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
            while True:
                os.killpg(self._process.pid, 0)
                if self._pipe is not None and select.select([self._pipe], [], [], _TICK_S)[0]:
                    if not self._read():
                        self._pipe = None
                else:
                    time.sleep(_TICK_S / 4)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._killed = True
        self._send(signal.SIGTERM)


def _write_all(data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(1, data) :]
