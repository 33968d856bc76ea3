"""What a trial's processes and their hub say to each other: a line of JSON each."""

from __future__ import annotations

from typing import Annotated, BinaryIO, Literal

from pydantic import Field, TypeAdapter

from tuner.wire import DecisionView, Step
from tuner.worker.broker_messages import Message
from tuner.worker.messages import Done, Start


class Join(Message):
    """Rank: here I am. Answered by `Joined`."""

    type: Literal["join"] = "join"
    rank: int
    pid: int


class Call(Message):
    """Rank: a call that all ranks make. What rank 0 says counts; `stop` of any rank counts.

    `data` is what a `gather` gathers; `path` is rank 0's file, None where it goes on without one.
    """

    type: Literal["call"] = "call"
    what: Literal["report", "checkpoint", "gather", "meet"]
    step: Step | None = None
    value: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    path: str | None = None
    data: str = ""
    stop: bool = False

    def __str__(self) -> str:
        """Return the call as its code might read."""
        return f"{self.what}({'' if self.step is None else f'step {self.step}'})"


class Keep(Message):
    """Rank: a file or a folder to be kept. Any rank may send one; `Met` says that it was taken."""

    type: Literal["artifact"] = "artifact"
    path: str
    name: str | None = None


class Ended(Message):
    """Rank: its function is over. Not answered."""

    type: Literal["ended"] = "ended"
    done: Done


class Joined(Message):
    """Hub: the trial."""

    type: Literal["joined"] = "joined"
    start: Start


class Met(Message):
    """Hub: all ranks called, and all get this answer.

    `stop`: the trial is to checkpoint and return; `leave`: because the worker asks for it.
    """

    type: Literal["met"] = "met"
    decision: DecisionView
    stop: bool
    leave: bool
    gathered: list[str] = Field(default_factory=list)


class Refused(Message):
    """Hub: not done. `problem` is a slug of `tuner.errors`."""

    type: Literal["refused"] = "refused"
    problem: str
    detail: str


ToHub = Join | Call | Keep | Ended
FromHub = Joined | Met | Refused

TO_HUB: TypeAdapter[ToHub] = TypeAdapter(Annotated[ToHub, Field(discriminator="type")])
LONGEST = 64 << 20
"""Bytes of one line, as in what a rank gives to a gathering."""

FROM_HUB: TypeAdapter[FromHub] = TypeAdapter(Annotated[FromHub, Field(discriminator="type")])


def read_line(file: BinaryIO) -> bytes | None:
    """Return the next line, None where the other end is gone, or sends what is no message.

    Raises:
        OSError: the connection broke.
    """
    line = file.readline(LONGEST + 1)
    return line if line.endswith(b"\n") else None
