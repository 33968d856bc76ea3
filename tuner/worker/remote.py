"""The trial as the trial's other processes see it: a `tuner.handle.TrialHandle` over its broker."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from tuner.decision import Decision
from tuner.errors import BY_SLUG, InvalidInput, OutsideTrial, TrialInterrupted, TunerError
from tuner.handle import Checkpointing, ParamValue, Resume, whole_step
from tuner.worker.broker_messages import (
    FROM_BROKER,
    Describe,
    Described,
    HandOver,
    Keep,
    Look,
    Note,
    Refused,
    Standing,
    Tell,
    ToBroker,
    address_of,
    line_of,
    read_line,
)

_PATIENCE_S = 120.0


class RemoteTrial(Checkpointing):
    """A trial that the worker's child on this machine holds. Safe for threads and after forks.

    Guarantees: as the handle an entrypoint gets. `report` answers within the worker's time-out; the
    level changes in `report` alone.

    Args:
        path: where its broker listens.

    Raises:
        OutsideTrial: nobody listens there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._pid = 0
        self._socket: socket.socket | None = None
        self._lines: BinaryIO | None = None
        found = self._ask(Describe(), first=True)
        assert isinstance(found, Described)
        self._about = found
        self._decision = Decision(lr_factor=found.lr_factor)
        self._leaving = False

    @property
    def study(self) -> str:
        """The study's name."""
        return self._about.study

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self._about.number

    @property
    def attempt(self) -> int:
        """How often the trial was leased, from 1."""
        return self._about.attempt

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The trial's parameters; only those whose condition holds."""
        return MappingProxyType(self._about.params)

    @property
    def seed(self) -> int:
        """The seed of this trial's random streams, in [0, 2**31)."""
        return self._about.seed

    @property
    def steps(self) -> int | None:
        """The longest training in steps, if the study names one."""
        return self._about.steps

    @property
    def decision(self) -> Decision:
        """The last decision this process was told."""
        return self._decision

    @property
    def lr_factor(self) -> float:
        """The level in force now, as this process was told last."""
        return self._decision.lr_factor

    @property
    def resume(self) -> Resume | None:
        """The checkpoint to go on from, or None for a fresh start."""
        held = self._about.resume
        if held is None:
            return None
        return Resume(step=held.step, path=Path(held.path), inherited=held.inherited)

    @property
    def should_stop(self) -> bool:
        """Whether the trial was asked to leave: checkpoint, then return. Asks the worker."""
        self._stand(Look(), levels=False)
        return self._leaving

    @property
    def leaving(self) -> bool:
        """Whether the last answer said that the trial is asked to leave."""
        return self._leaving

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Report the objective after `step` finished steps (from 1) and get the decision.

        A non-finite `value` says that the trial diverged. Non-finite `metrics` are dropped.

        Raises:
            InvalidInput: the step or a metric's name is not valid.
            ReportMismatch: another value was reported for this step.
            TrialInterrupted: the trial was asked to leave before the previous report returned, or
                is over.
        """
        number = whole_step(step)
        try:
            value = float(value)
            floats = {str(name): float(one) for name, one in (metrics or {}).items()}
        except (TypeError, ValueError) as exc:
            raise InvalidInput(f"a report at step {number} holds no number: {exc}") from exc
        finite = {name: one for name, one in floats.items() if math.isfinite(one)}
        told = value if math.isfinite(value) else None
        self._stand(Tell(step=number, value=told, metrics=finite), levels=True)
        return self._decision

    def _hand_over(self, step: int, path: Path) -> None:
        self._stand(HandOver(step=step, path=str(path.absolute())), levels=False)

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a file, or a folder with all that is in it, with the trial.

        Raises:
            InvalidInput: there is nothing at `path`, or the name is not valid.
            TrialInterrupted: the trial is over.
        """
        self._stand(Keep(path=str(Path(path).absolute()), name=name), levels=False)

    def log(self, text: str) -> None:
        """Write a line to the trial's log.

        Raises:
            TrialInterrupted: the trial is over.
        """
        self._stand(Note(text=text), levels=False)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        with self._lock:
            for one in (self._lines, self._socket):
                if one is not None:
                    with contextlib.suppress(OSError):
                        one.close()
            self._socket = self._lines = None

    def _stand(self, message: ToBroker, *, levels: bool) -> None:
        reply = self._ask(message)
        assert isinstance(reply, Standing)
        if levels:
            self._decision = reply.decision
        self._leaving = reply.should_stop

    def _ask(self, message: ToBroker, *, first: bool = False) -> Described | Standing:
        with self._lock:
            try:
                line = self._exchange(line_of(message))
                reply = None if line is None else FROM_BROKER.validate_json(line)
            except (OSError, ValueError) as exc:
                self.close()
                raise self._gone(first) from exc
            if reply is None:
                self.close()
                raise self._gone(first)
        if isinstance(reply, Refused):
            raise BY_SLUG.get(reply.problem, TunerError)(reply.detail)
        return reply

    def _gone(self, first: bool) -> TunerError:
        if first:
            return OutsideTrial(f"no trial is under way at {self._path}")
        return TrialInterrupted("the trial is over")

    def _exchange(self, line: bytes) -> bytes | None:
        if self._pid != os.getpid():
            # A connection that came with a fork is its parent's.
            self._socket = self._lines = None
        if self._socket is None or self._lines is None:
            self._connect()
        assert self._socket is not None
        assert self._lines is not None
        self._socket.sendall(line)
        return read_line(self._lines)

    def _connect(self) -> None:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.settimeout(_PATIENCE_S)
            with address_of(self._path) as address:
                found.connect(address)
        except OSError:
            found.close()
            raise
        self._socket, self._lines, self._pid = found, found.makefile("rb"), os.getpid()
