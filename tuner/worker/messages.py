"""What parent and child say to each other. Times are in seconds, paths absolute."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tuner.spec.command import Lines
from tuner.wire import DecisionView, Metrics, Step


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Warm(Message):
    """Parent: load what this function needs. Failures show when a trial needs it."""

    type: Literal["warm"] = "warm"
    kind: Literal["task", "entrypoint"]
    name: str


class ResumeFrom(Message):
    """The checkpoint to go on from."""

    step: int
    path: str
    inherited: bool = False


class CommandLine(Message):
    """A program of the user's own. `report`, if given, is where its output holds reports.

    `on_stop` and `on_rate` are names of signals.
    """

    argv: list[str]
    env: dict[str, str]
    report: Lines | None
    on_stop: str | None
    on_rate: str | None
    stop_grace: float
    kill_grace: float


class Start(Message):
    """Parent: run this trial. `lr_factor` is the level in force after the resumed step.

    `threads` are shared by all `processes`; these wait for each other for `patience` at most.
    """

    type: Literal["start"] = "start"
    study: str
    number: int
    attempt: int
    params: dict[str, Any]
    seed: int
    steps: int | None
    metric: str
    kind: Literal["task", "entrypoint", "command"]
    name: str
    options: dict[str, Any] = {}
    command: CommandLine | None = None
    lr_factor: float = 1.0
    resume: ResumeFrom | None = None
    work: str
    threads: int = 1
    report_timeout: float = 5.0
    processes: int = 1
    patience: float = 1800.0


class Decided(Message):
    """Parent: the server's answer to report `seq`. `problem` is a slug of `tuner.errors`."""

    type: Literal["decided"] = "decided"
    seq: int
    decision: DecisionView | None = None
    problem: str | None = None
    detail: str = ""


class Later(Message):
    """Parent: the server is away; go on, the answer to report `seq` comes when it is back."""

    type: Literal["later"] = "later"
    seq: int


class Leave(Message):
    """Parent: checkpoint and return."""

    type: Literal["leave"] = "leave"


class Ready(Message):
    """Child: loaded, and waiting for a trial."""

    type: Literal["ready"] = "ready"


class Started(Message):
    """Child: the trial's function is about to be called."""

    type: Literal["started"] = "started"


class Reported(Message):
    """Child: a report. `value` null says that it was not finite."""

    type: Literal["reported"] = "reported"
    seq: int
    step: Step
    value: float | None
    lr_factor: float
    metrics: Metrics = {}


class Saved(Message):
    """Child: a checkpoint file, now the parent's."""

    type: Literal["saved"] = "saved"
    step: Step
    path: str


class Kept(Message):
    """Child: a file to keep under a name, now the parent's."""

    type: Literal["kept"] = "kept"
    name: str
    path: str


class Done(Message):
    """Child: the trial's function is over.

    `left` says that it was asked to leave and did; `clean` that the child may take another trial;
    `code` are the user's files it loaded, with their modification times in nanoseconds. `node` says
    that the failure may be the node's; `gpu_full` that a GPU's memory ran out; `gpu_peak` is the
    most it held of one, in bytes. `vanished` says that a process of the trial's died without a
    word.
    """

    type: Literal["done"] = "done"
    outcome: Literal["complete", "diverged", "oom", "failed", "left"]
    value: float | None = None
    error: str = ""
    retry: bool = True
    clean: bool = True
    node: bool = False
    code: dict[str, int] = {}
    gpu_full: bool = False
    gpu_peak: int = 0
    vanished: bool = False


ToChild = Warm | Start | Decided | Later | Leave
ToParent = Ready | Started | Reported | Saved | Kept | Done

TO_CHILD: TypeAdapter[ToChild] = TypeAdapter(Annotated[ToChild, Field(discriminator="type")])
TO_PARENT: TypeAdapter[ToParent] = TypeAdapter(Annotated[ToParent, Field(discriminator="type")])
