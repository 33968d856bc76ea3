"""Messages of workers and own loops: leases, reports, heartbeats, ends."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tuner.allow import checked_pattern
from tuner.decision import Action, Outcome
from tuner.text import Label
from tuner.trial import TrialState
from tuner.wire.base import Finite, Metrics, Problem, Reply, Request, Step, Text, Token

CommandPattern = Annotated[str, Field(max_length=1000), AfterValidator(checked_pattern)]


class RegisterWorker(Request):
    """POST /workers."""

    name: Label
    host: Label
    slots: Annotated[int, Field(ge=1, le=1024)]
    gpus: Annotated[list[Label], Field(max_length=64)] = Field(default_factory=list)
    labels: Annotated[dict[Label, Label], Field(max_length=32)] = Field(default_factory=dict)
    allow: Annotated[list[Label], Field(max_length=100)] = Field(default_factory=list)
    tasks: Annotated[list[Label], Field(max_length=1000)] = Field(default_factory=list)
    allow_commands: Annotated[list[CommandPattern], Field(max_length=100)] = Field(
        default_factory=list
    )
    allow_env: Annotated[list[Label], Field(max_length=100)] = Field(default_factory=list)


class Registered(Reply):
    """Reply to POST /workers. Send a heartbeat every `heartbeat_s`; a lease lasts `lease_s`."""

    worker_id: str
    lease_s: float
    heartbeat_s: float


Share = Annotated[float, Field(gt=0, le=1)]


class StudyShare(Request):
    """What a study's trials turned out to need of a GPU, on this worker."""

    study_id: Annotated[int, Field(ge=1, lt=2**63)]
    share: Share


class Free(Request):
    """What is free on a worker that places each trial on its GPUs.

    `gpus` is the free share of each, in the order it registered them; `homes` are the slots, from
    0, whose own GPUs no trial holds that names none.
    """

    gpus: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(max_length=64)]
    homes: Annotated[list[Annotated[int, Field(ge=0, lt=1024)]], Field(max_length=1024)]
    shares: Annotated[list[StudyShare], Field(max_length=1000)] = Field(default_factory=list)


class AcquireLeases(Request):
    """POST /leases: wait up to `wait_s` for at least one trial, take up to `n`.

    Trials of the studies `avoid` are not taken. Without `free`, only trials are leased that name
    neither GPUs nor processes.
    """

    worker_id: Token
    n: Annotated[int, Field(ge=1, le=1024)] = 1
    wait_s: Annotated[float, Field(ge=0, le=60)] = 20.0
    avoid: Annotated[list[Annotated[int, Field(ge=0, lt=2**53)]], Field(max_length=1000)] = Field(
        default_factory=list
    )
    free: Free | None = None


class AskTrial(Request):
    """POST /studies/{study}/ask: lease one trial of an external study."""

    wait_s: Annotated[float, Field(ge=0, le=60)] = 0.0


class CheckpointView(Reply):
    """A checkpoint that can be downloaded at GET /leases/{lease}/checkpoint."""

    attempt: int
    step: int
    sha256: str
    size: int


class LeaseGrant(Reply):
    """A leased trial: all a worker needs to run it.

    `run` is the spec's `run` section as JSON. `lr_factor` is the level after `resume.step`. `share`
    is the least part of a GPU that this trial needs, after it ran out of memory on less.
    """

    lease: str
    study_id: int
    study: str
    number: int
    attempt: int
    params: dict[str, Any]
    seed: int
    steps: int | None
    metric: str
    mode: Literal["min", "max"]
    run: Any
    lr_factor: float = 1.0
    resume: CheckpointView | None = None
    share: float | None = None


class Leases(Reply):
    """Reply to POST /leases and to ask. `idle`: the queue holds nothing for this worker.

    Who asked without a worker sends a heartbeat every `heartbeat_s`.
    """

    leases: list[LeaseGrant]
    idle: bool = False
    heartbeat_s: float = 10.0


class ReportItem(Request):
    """One report. `value` null with `status: diverged` says the objective was not finite."""

    lease: Token
    attempt: Annotated[int, Field(ge=1)]
    step: Step
    value: Finite | None
    status: Literal["ok", "diverged"] = "ok"
    lr_factor: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    metrics: Metrics = Field(default_factory=dict)


class Reports(Request):
    """POST /reports: reports of any of the caller's leases, answered item by item."""

    reports: Annotated[list[ReportItem], Field(min_length=1, max_length=10_000)]


class DecisionView(Reply):
    """A decision, as `tuner.decision.Decision`."""

    action: Action = Action.CONTINUE
    lr_factor: float = 1.0
    reason: str = ""
    outcome: Outcome | None = None


class ReportResult(Reply):
    """Answer to one report: a decision, or why it was not taken."""

    decision: DecisionView | None = None
    problem: Problem | None = None


class ReportResults(Reply):
    """Reply to POST /reports, in the order of the request."""

    results: list[ReportResult]


class HeldLease(Request):
    """A lease the caller believes to hold."""

    lease: Token
    attempt: Annotated[int, Field(ge=1)]


class Heartbeat(Request):
    """POST /heartbeats: renew leases. External loops send it without a worker.

    `trouble` says why the worker is out of service; it is empty while it serves.
    """

    worker_id: Token | None = None
    trouble: Annotated[str, Field(max_length=500)] = ""
    leases: Annotated[list[HeldLease], Field(max_length=10_000)] = Field(default_factory=list)


class HeartbeatReply(Reply):
    """Answers in the order of the request; `problem` (stale-attempt) means: kill that trial."""

    results: list[ReportResult]
    known: bool = True


class FinishTrial(Request):
    """POST /leases/{lease}/finish. `value` overrides what was reported, or stands alone.

    `host_memory` are the most bytes of host memory that the attempt was seen to use.
    """

    attempt: Annotated[int, Field(ge=1)]
    outcome: Literal["complete", "diverged", "oom", "failed"] = "complete"
    value: Finite | None = None
    error: Text = ""
    retry: bool = True
    host_memory: Annotated[int, Field(ge=0, lt=2**53)] | None = None


class ReleaseTrial(Request):
    """POST /leases/{lease}/release: give the trial back, unharmed.

    `share`: it ran out of a GPU's memory beside others, and is to get at least so much of one.
    """

    attempt: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(max_length=500)] = ""
    share: Share | None = None


class TrialAfter(Reply):
    """Where the trial stands after a finish or a release."""

    state: TrialState
    outcome: Outcome | None = None


class WorkerView(Reply):
    """A worker. `alive` means that it was heard within a lease's length.

    `trouble` says why it took itself out of service; it is empty while it serves. `drained_by`
    names who drained it; it is empty while it gets trials. It was heard `silent_s` seconds ago.
    """

    worker_id: str
    name: str
    host: str
    slots: int
    gpus: list[str]
    labels: dict[str, str]
    allow: list[str]
    allow_commands: list[str] = Field(default_factory=list)
    allow_env: list[str] = Field(default_factory=list)
    alive: bool
    trouble: str = ""
    drained_by: str = ""
    silent_s: float = 0.0
    registered_at: datetime | None = None
    seen_at: datetime
    running: list[str]


class WorkerPage(Reply):
    """GET /workers."""

    items: list[WorkerView]
    next_cursor: str | None = None
