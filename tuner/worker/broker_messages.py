"""What a trial's broker and the trial's other processes say to each other: a line of JSON each.

Every call of `tuner report` loads this module, so it loads little: nothing of `tuner.wire`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tuner.decision import Action, Decision, Outcome

LONGEST = 1 << 20
"""Bytes of one line."""

_LONGEST_ADDRESS = 107
_Step = Annotated[int, Field(ge=0, lt=2**31)]


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(Message):
    """Base of what the broker says; a program's own tuner may be older than the worker's."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Describe(Message):
    """Client: which trial is this? Answered by `Described`."""

    type: Literal["describe"] = "describe"


class Look(Message):
    """Client: where does the trial stand? Whoever looks knows that it was asked to leave."""

    type: Literal["look"] = "look"


class Tell(Message):
    """Client: a report. `value` null says that it was not finite."""

    type: Literal["report"] = "report"
    step: _Step
    value: float | None
    metrics: dict[str, float] = Field(default_factory=dict)


class HandOver(Message):
    """Client: a complete checkpoint file, to be moved away from `path`, which is absolute."""

    type: Literal["checkpoint"] = "checkpoint"
    step: _Step
    path: str


class Keep(Message):
    """Client: a file or a folder at `path`, which is absolute, to be kept under `name`."""

    type: Literal["artifact"] = "artifact"
    path: str
    name: str | None = None


class Note(Message):
    """Client: text for the trial's log."""

    type: Literal["log"] = "log"
    text: str


class ResumeFrom(Message):
    """The checkpoint to go on from; its path is absolute."""

    step: int
    path: str
    inherited: bool = False


class Described(Answer):
    """Broker: the trial, and the level in force now."""

    type: Literal["described"] = "described"
    study: str
    number: int
    attempt: int
    params: dict[str, Any]
    seed: int
    steps: int | None
    lr_factor: float
    resume: ResumeFrom | None


class Standing(Answer):
    """Broker: done. The last decision returned, and whether the trial was asked to leave."""

    type: Literal["standing"] = "standing"
    action: Action
    lr_factor: float
    reason: str
    outcome: Outcome | None
    should_stop: bool

    @property
    def decision(self) -> Decision:
        """The decision as a value."""
        return Decision(
            action=self.action, lr_factor=self.lr_factor, reason=self.reason, outcome=self.outcome
        )


class Refused(Answer):
    """Broker: not done. `problem` is a slug of `tuner.errors`."""

    type: Literal["refused"] = "refused"
    problem: str
    detail: str


ToBroker = Describe | Look | Tell | HandOver | Keep | Note
FromBroker = Described | Standing | Refused

TO_BROKER: TypeAdapter[ToBroker] = TypeAdapter(Annotated[ToBroker, Field(discriminator="type")])
FROM_BROKER: TypeAdapter[FromBroker] = TypeAdapter(
    Annotated[FromBroker, Field(discriminator="type")]
)


def line_of(message: Message) -> bytes:
    """Return a message as a line."""
    return message.model_dump_json().encode() + b"\n"


def read_line(file: BinaryIO) -> bytes | None:
    """Return the next line, None where the other end is gone.

    Raises:
        ValueError: the line is longer than `LONGEST`.
        OSError: the connection broke.
    """
    line = file.readline(LONGEST + 1)
    if len(line) > LONGEST:
        raise ValueError(f"a line of more than {LONGEST} bytes")
    return line if line.endswith(b"\n") else None


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield an address for a unix socket at `path`, which may be longer than addresses can be."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
