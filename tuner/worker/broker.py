"""Serves a trial's handle to the trial's other processes: programs, their forks, and shells.

It listens on a unix socket in the trial's own folder, which only the worker's user may enter, and
lives in threads of the child's that end with the trial.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pydantic import ValidationError

from tuner.decision import Decision
from tuner.errors import Malformed, TunerError
from tuner.handle import Resume
from tuner.worker.broker_messages import (
    TO_BROKER,
    Describe,
    Described,
    FromBroker,
    HandOver,
    Keep,
    Look,
    Note,
    Refused,
    ResumeFrom,
    Standing,
    Tell,
    ToBroker,
    address_of,
    line_of,
    read_line,
)
from tuner.worker.channel import ChannelClosed
from tuner.worker.handle import ChildHandle

_NAME = "trial.sock"
_MOST = 256


class Broker:
    """A trial's handle on a socket, from `start` to `close`. As a context manager it does both.

    Guarantees: each line gets one answer, in order; what goes wrong with one client hurts no
    other; after `close` nothing reaches the handle any more, and whoever waits for an answer sees
    the connection end.

    Args:
        handle: the trial.
        folder: its own folder; the socket is made here at once, and served from `start` on.
        on_report: called after each report, before it is answered.
    """

    def __init__(
        self, handle: ChildHandle, folder: Path, *, on_report: Callable[[], None] = lambda: None
    ) -> None:
        self.path = folder / _NAME
        self._handle = handle
        self._on_report = on_report
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST)
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with address_of(self.path) as address:
            self._socket.bind(address)
        self.path.chmod(0o600)
        self._socket.listen(_MOST)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Serve from now on."""
        threading.Thread(target=self._accept, name="tuner-broker", daemon=True).start()

    def close(self) -> None:
        """Serve no more; wait for the report that is being answered, if any."""
        with self._lock:
            self._closed = True
            clients = dict(self._clients)
        for one in (self._socket, *clients):
            # A fork may hold the socket open, too; a shutdown holds for all.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in clients.values():
            thread.join()
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            self._room.acquire()
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(client,), name="tuner-broker-client", daemon=True
            )
            with self._lock:
                if self._closed:
                    client.close()
                    return
                self._clients[client] = thread
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as lines:
                self._answer_all(client, lines)
        except (OSError, ChannelClosed):
            pass  # the client is gone, or the parent, which the child's main thread sees, too
        finally:
            with self._lock:
                self._clients.pop(client, None)
            self._room.release()

    def _answer_all(self, client: socket.socket, lines: BinaryIO) -> None:
        while True:
            try:
                line = read_line(lines)
                if line is None:
                    return
                message = TO_BROKER.validate_json(line)
            except ValueError as exc:
                client.sendall(line_of(_refusal(Malformed(_why(exc)))))
                return
            client.sendall(line_of(self._answer(message)))

    def _answer(self, message: ToBroker) -> FromBroker:
        if self._closed:
            raise ChannelClosed("the trial is over")
        try:
            if isinstance(message, Describe):
                return self._described()
            return self._standing(message)
        except TunerError as exc:
            return _refusal(exc)

    def _standing(self, message: Look | Tell | HandOver | Keep | Note) -> Standing:
        handle = self._handle
        match message:
            case Look():
                return _standing(handle.decision, handle.should_stop)
            case Tell():
                value = math.nan if message.value is None else message.value
                decision = handle.report(message.step, value, message.metrics)
                self._on_report()
                return _standing(decision, handle.leaving)
            case HandOver():
                handle.checkpoint(message.step, Path(message.path))
            case Keep():
                handle.artifact(Path(message.path), message.name)
            case Note():
                handle.log(message.text)
        return _standing(handle.decision, handle.leaving)

    def _described(self) -> Described:
        handle = self._handle
        resume = handle.resume
        return Described(
            study=handle.study,
            number=handle.number,
            attempt=handle.attempt,
            params=dict(handle.params),
            seed=handle.seed,
            steps=handle.steps,
            lr_factor=handle.lr_factor,
            resume=None if resume is None else _resume_from(resume),
        )


def _resume_from(held: Resume) -> ResumeFrom:
    return ResumeFrom(step=held.step, path=str(held.path), inherited=held.inherited)


def _standing(decision: Decision, should_stop: bool) -> Standing:
    return Standing(
        action=decision.action,
        lr_factor=decision.lr_factor,
        reason=decision.reason,
        outcome=decision.outcome,
        should_stop=should_stop,
    )


def _refusal(error: TunerError) -> Refused:
    return Refused(problem=error.slug, detail=error.detail)


def _why(exc: ValueError) -> str:
    if isinstance(exc, ValidationError):
        return f"this is no message: {exc.errors(include_url=False)[0]['msg']}"
    return f"this is no message: {exc}"
