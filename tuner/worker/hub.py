"""Brings the processes of a trial together: a call of all of them is one call on its handle.

It lives in threads of the slot's child and listens on a unix socket in the trial's own folder. So
calls need no process group of the user's, work before there is one, and see it when a rank dies.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from tuner.decision import Decision
from tuner.errors import RanksApart, TunerError
from tuner.wire import DecisionView
from tuner.worker.broker_messages import address_of, line_of
from tuner.worker.channel import ChannelClosed
from tuner.worker.endings import of_rank
from tuner.worker.hub_messages import (
    TO_HUB,
    Call,
    Ended,
    FromHub,
    Join,
    Joined,
    Keep,
    Met,
    Refused,
    read_line,
)
from tuner.worker.messages import Done, Start

_NAME = "ranks.sock"


class Held(Protocol):
    """The trial's handle in the slot's child."""

    @property
    def decision(self) -> Decision: ...
    @property
    def leaving(self) -> bool: ...
    def report(self, step: int, value: float, metrics: dict[str, float]) -> Decision: ...
    def checkpoint(self, step: int, path: Path) -> None: ...
    def artifact(self, path: Path, name: str | None) -> None: ...


class _Round:
    """One call of all ranks."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.answer: Met | Refused | None = None


class Hub:
    """Serves `processes` ranks from `start` to `close`. As a context manager it does both.

    Guarantees: a call is answered once all ranks have made it, to all the same; if they call
    different things, or one fails, is gone, or does not come within `patience`, all that wait and
    all that call later are refused by `RanksApart`.

    Args:
        handle: the trial.
        start: what the ranks are told of it; `patience` is in seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self, handle: Held, start: Start, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = Path(start.work) / _NAME
        self._handle = handle
        self._start = start
        self._clock = clock
        self._state = threading.Condition()
        self._round = _Round()
        self._apart: Refused | None = None
        self._ended: dict[int, Ended] = {}
        self._gone: dict[int, int] = {}
        self._guilty: int | None = None
        self._pids: dict[int, int] = {}
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with address_of(self.path) as address:
            self._socket.bind(address)
        self.path.chmod(0o600)
        self._socket.listen(start.processes)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="tuner-hub", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Serve no more."""
        with self._state:
            self._closed = True
            clients = dict(self._clients)
            self._state.notify_all()
        for one in (self._socket, *clients):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in clients.values():
            thread.join()
        self._socket.close()
        self.path.unlink(missing_ok=True)

    @property
    def failed(self) -> bool:
        """Whether a rank has failed or is gone, or the ranks came apart."""
        with self._state:
            return self._apart is not None

    def settle(self, seconds: float) -> None:
        """Wait until each rank that joined has ended or is gone, so long at most."""
        with self._state:
            self._state.wait_for(
                lambda: len(self._ended) + len(self._gone) >= len(self._pids), seconds
            )

    def done(self) -> Done | None:
        """Return how the trial ended, None where no rank has said anything that tells.

        What came first tells why: a rank that failed or died by itself, or ranks that came apart.
        The others fail with it.
        """
        with self._state:
            if self._apart is None:
                return self._ended[0].done if 0 in self._ended else None
            rank = self._guilty
            if rank in self._gone:
                why = f"rank {rank} (process {self._gone[rank]}) died without a word"
                return Done(outcome="failed", error=why, clean=False, vanished=True)
            if rank is None:
                rank = next((r for r, one in sorted(self._ended.items()) if _failed(one)), None)
            if rank is None:
                return Done(outcome="failed", error=self._apart.detail, clean=False)
            done = self._ended[rank].done
            return done.model_copy(update={"error": of_rank(rank, done.error), "clean": False})

    # A rank's connection

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(client,), name="tuner-hub-rank", daemon=True
            )
            with self._state:
                if self._closed:
                    client.close()
                    return
                self._clients[client] = thread
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        rank: int | None = None
        try:
            with client, client.makefile("rb") as lines:
                line = read_line(lines)
                joining = None if line is None else TO_HUB.validate_json(line)
                if not isinstance(joining, Join) or not self._joins(joining):
                    return
                rank = joining.rank
                client.sendall(line_of(Joined(start=self._start)))
                self._answer_all(rank, client, lines)
        except (OSError, ValueError, ChannelClosed):
            pass  # the rank is gone, or the parent, which the child's main thread sees, too
        finally:
            with self._state:
                self._clients.pop(client, None)
                if rank is not None:
                    self._left(rank)

    def _answer_all(self, rank: int, client: socket.socket, lines: BinaryIO) -> None:
        while (line := read_line(lines)) is not None:
            message = TO_HUB.validate_json(line)
            if isinstance(message, Ended):
                self._end(rank, message)
                return
            if isinstance(message, Call):
                client.sendall(line_of(self._call(rank, message)))
            if isinstance(message, Keep):
                client.sendall(line_of(self._keep(message)))

    def _keep(self, message: Keep) -> FromHub:
        try:
            self._handle.artifact(Path(message.path), message.name)
        except TunerError as exc:
            return Refused(problem=exc.slug, detail=exc.detail)
        with self._state:
            return self._met(False, [])

    def _joins(self, joining: Join) -> bool:
        with self._state:
            fits = 0 <= joining.rank < self._start.processes and joining.rank not in self._pids
            if fits:
                self._pids[joining.rank] = joining.pid
            return fits

    def _left(self, rank: int) -> None:
        if rank in self._ended or self._closed:
            return
        self._gone[rank] = self._pids[rank]
        self._come_apart(f"rank {rank} is gone", guilty=rank)

    def _end(self, rank: int, ended: Ended) -> None:
        with self._state:
            self._ended[rank] = ended
            self._state.notify_all()
            if _failed(ended):
                self._come_apart(f"rank {rank} has failed", guilty=rank)
            elif self._round.calls:
                self._come_apart(f"rank {rank} has returned and {self._waiting()}")

    # Rounds

    def _call(self, rank: int, call: Call) -> FromHub:
        with self._state:
            if self._apart is None:
                self._check(rank, call)
            current = self._round
            current.calls[rank] = call
            if self._apart is None and len(current.calls) == self._start.processes:
                self._round = _Round()
                current.answer = self._perform(current.calls)
                self._state.notify_all()
            self._wait(current)
            answer = current.answer or self._apart
            if answer is None:
                raise ChannelClosed("the trial is over")
            return answer

    def _check(self, rank: int, call: Call) -> None:
        returned = sorted(self._ended)
        if returned:
            self._come_apart(f"rank {returned[0]} has returned and rank {rank} calls {call}")
        for other, made in self._round.calls.items():
            if (made.what, made.step) != (call.what, call.step):
                why = f"rank {other} calls {made} and rank {rank} calls {call}"
                self._come_apart(f"{why}: all ranks make the same calls in the same order")
                return

    def _wait(self, current: _Round) -> None:
        deadline = self._clock() + self._start.patience
        while current.answer is None and self._apart is None and not self._closed:
            left = deadline - self._clock()
            if left <= 0:
                missing = sorted(set(range(self._start.processes)) - current.calls.keys())
                ranks = ", ".join(str(rank) for rank in missing)
                self._come_apart(
                    f"rank {ranks} did not come within {self._start.patience:g} s "
                    f"while {self._waiting()}"
                )
                return
            self._state.wait(left)

    def _waiting(self) -> str:
        rank, call = min(self._round.calls.items())
        return f"rank {rank} waits in {call}"

    def _come_apart(self, why: str, *, guilty: int | None = None) -> None:
        if self._apart is None:
            self._apart = Refused(problem=RanksApart.slug, detail=why)
            self._guilty = guilty
        self._state.notify_all()

    def _perform(self, calls: dict[int, Call]) -> Met | Refused:
        first, handle = calls[0], self._handle
        gathered: list[str] = []
        try:
            if first.what == "report" and first.step is not None:
                value = math.nan if first.value is None else first.value
                handle.report(first.step, value, first.metrics)
            elif first.what == "checkpoint" and first.step is not None:
                if first.path is not None:
                    handle.checkpoint(first.step, Path(first.path))
            elif first.what == "gather":
                gathered = [calls[rank].data for rank in sorted(calls)]
            return self._met(any(call.stop for call in calls.values()), gathered)
        except TunerError as exc:
            return Refused(problem=exc.slug, detail=exc.detail)

    def _met(self, stop: bool, gathered: list[str]) -> Met:
        decision, leave = self._handle.decision, self._handle.leaving
        view = DecisionView(
            action=decision.action,
            lr_factor=decision.lr_factor,
            reason=decision.reason,
            outcome=decision.outcome,
        )
        return Met(decision=view, stop=stop or leave, leave=leave, gathered=gathered)


def _failed(ended: Ended) -> bool:
    return ended.done.outcome in ("failed", "oom")
