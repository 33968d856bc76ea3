"""The trial as each of several processes sees it that train it together: calls of all are one."""

from __future__ import annotations

import base64
import contextlib
import math
import os
import pickle
import select
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuner.decision import Decision
from tuner.errors import BY_SLUG, InvalidInput, RanksApart, TunerError
from tuner.handle import Checkpointing, ParamValue, Resume, whole_step
from tuner.worker.broker_messages import address_of, line_of
from tuner.worker.hub_messages import (
    FROM_HUB,
    Call,
    Ended,
    FromHub,
    Join,
    Joined,
    Keep,
    Met,
    Refused,
    ToHub,
    read_line,
)
from tuner.worker.messages import Done


class CollectiveTrial(Checkpointing):
    """One rank's handle of a trial. All ranks make the same calls in the same order.

    Guarantees: `report`, `checkpoint` and `meet` return on all ranks or on none, with the same
    decision, level and `should_stop`, so that all take the same branch; they raise `RanksApart`
    instead of waiting for a rank that calls something else, has ended, or does not come in time.

    Args:
        path: where the trial's hub listens.
        rank: this process's number, from 0.

    Raises:
        RanksApart: nobody listens there, or this rank is there already.
    """

    def __init__(self, path: Path, rank: int) -> None:
        self.rank = rank
        self._lock = threading.Lock()
        self._over = False
        self._wants_stop = False
        self._stop = self._leave = False
        self.last_step: int | None = None
        self._socket = _connected(path)
        self._lines = self._socket.makefile("rb")
        try:
            joined = self._ask(Join(rank=rank, pid=os.getpid()))
        except RanksApart:
            self.close()
            raise
        assert isinstance(joined, Joined)
        self.start = joined.start
        self._decision = Decision(lr_factor=joined.start.lr_factor)

    @property
    def processes(self) -> int:
        """How many processes train this trial."""
        return self.start.processes

    @property
    def study(self) -> str:
        """The study's name."""
        return self.start.study

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self.start.number

    @property
    def attempt(self) -> int:
        """How often the trial was leased, from 1."""
        return self.start.attempt

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The trial's parameters."""
        return MappingProxyType(self.start.params)

    @property
    def seed(self) -> int:
        """The seed of this trial's random streams, the same on all ranks."""
        return self.start.seed

    @property
    def steps(self) -> int | None:
        """The longest training in steps, if the study names one."""
        return self.start.steps

    @property
    def decision(self) -> Decision:
        """The last decision."""
        return self._decision

    @property
    def lr_factor(self) -> float:
        """The level in force now."""
        return self._decision.lr_factor

    @property
    def resume(self) -> Resume | None:
        """The checkpoint to go on from, or None for a fresh start."""
        resume = self.start.resume
        if resume is None:
            return None
        return Resume(step=resume.step, path=Path(resume.path), inherited=resume.inherited)

    @property
    def stopped(self) -> bool:
        """Whether a decision to stop has been returned: the outcome is stored."""
        return self._decision.stop

    @property
    def left(self) -> bool:
        """Whether the worker asked the trial to leave, as of the last call of all ranks."""
        return self._leave

    @property
    def should_stop(self) -> bool:
        """Whether to checkpoint and return, as of the last call of all ranks: the same on all."""
        return self._stop

    def ask_to_stop(self) -> None:
        """Let `should_stop` be true on all ranks after the next call of all; any rank may ask."""
        self._wants_stop = True

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Report the objective after `step` finished steps and get the decision. All ranks call.

        The value and the metrics of rank 0 count; those of the others are dropped.

        Raises:
            InvalidInput: the step or a metric's name is not valid.
            RanksApart: the ranks did not come to the same call.
            ReportMismatch: another value was reported for this step.
            TrialInterrupted: the trial was asked to leave before the previous report returned.
        """
        number: float | None = None
        floats: dict[str, float] = {}
        if self.rank == 0:
            try:
                number = float(value)
                floats = {name: float(one) for name, one in (metrics or {}).items()}
            except (TypeError, ValueError) as exc:
                raise InvalidInput(f"a report at step {step} holds no number: {exc}") from exc
            number = number if math.isfinite(number) else None
            floats = {name: one for name, one in floats.items() if math.isfinite(one)}
        self._meet(Call(what="report", step=whole_step(step), value=number, metrics=floats))
        self.last_step = max(self.last_step or 0, step)
        return self._decision

    def _hand_over(self, step: int, path: Path) -> None:
        mine = str(path.absolute()) if self.rank == 0 else None
        self._meet(Call(what="checkpoint", step=step, path=mine))

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a file, or a folder with all that is in it, with the trial. Any rank may call.

        Raises:
            InvalidInput: there is nothing at `path`, or the name is not valid.
            RanksApart: the trial is over.
        """
        with self._lock:
            reply = self._ask(Keep(path=str(Path(path).absolute()), name=name))
        if isinstance(reply, Refused):
            raise BY_SLUG.get(reply.problem, TunerError)(reply.detail)

    def meet(self) -> bool:
        """Wait for all ranks, and bring `should_stop` up to date between reports; return it.

        Raises:
            RanksApart: the ranks did not come to the same call.
        """
        self._meet(Call(what="meet"))
        return self._stop

    def log(self, text: str) -> None:
        """Write a line to the trial's log."""
        print(f"rank {self.rank}: {text}", flush=True)

    def end(self, done: Done) -> None:
        """Say how this rank's function ended."""
        with self._lock:
            self._over = True
            with contextlib.suppress(OSError):
                self._socket.sendall(line_of(Ended(done=done)))
                self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Drop the connection: this rank takes no part any more."""
        self._lines.close()
        self._socket.close()

    @property
    def _rank(self) -> int:
        return self.rank

    @property
    def _folder(self) -> Path:
        return Path(self.start.work)

    def _gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, given this one's."""
        data = base64.b64encode(pickle.dumps(value)).decode()
        met = self._meet(Call(what="gather", data=data))
        # From this trial's other processes, over a socket that only its user may open.
        return [pickle.loads(base64.b64decode(one)) for one in met.gathered]  # noqa: S301

    def _meet(self, call: Call) -> Met:
        with self._lock:
            reply = self._ask(call.model_copy(update={"stop": self._wants_stop}))
        if isinstance(reply, Refused):
            raise BY_SLUG.get(reply.problem, TunerError)(reply.detail)
        assert isinstance(reply, Met)
        view = reply.decision
        self._decision = Decision(
            action=view.action, lr_factor=view.lr_factor, reason=view.reason, outcome=view.outcome
        )
        self._stop, self._leave = reply.stop, reply.leave
        return reply

    def _ask(self, message: ToHub) -> FromHub:
        try:
            self._socket.sendall(line_of(message))
            line = read_line(self._lines)
        except OSError as exc:
            raise RanksApart("the trial is over") from exc
        if line is None:
            raise RanksApart("the trial is over, or this rank is there already")
        return FROM_HUB.validate_json(line)

    def die_with_hub(self) -> None:
        """From now on, end this process when the trial's other end is gone: the worker was killed.

        A rank that computes would not notice before its next call.
        """
        threading.Thread(target=self._watch, name="tuner-rank", daemon=True).start()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        poll.poll()
        if not self._over:
            os.kill(os.getpid(), signal.SIGKILL)


def _connected(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address_of(path) as address:
            found.connect(address)
    except OSError as exc:
        found.close()
        raise RanksApart(f"the trial is over: {exc}") from exc
    return found
