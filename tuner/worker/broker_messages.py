"""What a trial's broker and the trial's other processes say to each other: a line of JSON each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import Field, TypeAdapter

from tuner.wire import DecisionView, Step
from tuner.worker.messages import Message, ResumeFrom

LONGEST = 1 << 20
"""Bytes of one line."""

_LONGEST_ADDRESS = 107


class Describe(Message):
    """Client: which trial is this? Answered by `Described`."""

    type: Literal["describe"] = "describe"


class Look(Message):
    """Client: where does the trial stand? Whoever looks knows that it was asked to leave."""

    type: Literal["look"] = "look"


class Tell(Message):
    """Client: a report. `value` null says that it was not finite."""

    type: Literal["report"] = "report"
    step: Step
    value: float | None
    metrics: dict[str, float] = Field(default_factory=dict)


class HandOver(Message):
    """Client: a complete checkpoint file, to be moved away from `path`, which is absolute."""

    type: Literal["checkpoint"] = "checkpoint"
    step: Step
    path: str


class Note(Message):
    """Client: text for the trial's log."""

    type: Literal["log"] = "log"
    text: str


class Described(Message):
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


class Standing(Message):
    """Broker: done. The last decision returned, and whether the trial was asked to leave."""

    type: Literal["standing"] = "standing"
    decision: DecisionView
    should_stop: bool


class Refused(Message):
    """Broker: not done. `problem` is a slug of `tuner.errors`."""

    type: Literal["refused"] = "refused"
    problem: str
    detail: str


ToBroker = Describe | Look | Tell | HandOver | Note
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
