"""The messages of `/api/v1`. Requests are strict; times are ISO 8601 in UTC; durations seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from tuner.decision import Action, Outcome
from tuner.text import Label, MetricName, StudyName
from tuner.trial import EndReason, EventKind, Origin, StudyState, TrialState

Step = Annotated[int, Field(ge=0, lt=2**31)]
Token = Annotated[str, Field(min_length=8, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Param = StrictBool | StrictInt | Finite | Annotated[StrictStr, Field(max_length=200)]
Params = Annotated[dict[str, Param], Field(max_length=200)]
Metrics = Annotated[dict[MetricName, Finite], Field(max_length=200)]
Text = Annotated[str, Field(max_length=20_000)]


class Request(BaseModel):
    """Base of what clients send: strict, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Reply(BaseModel):
    """Base of what the server sends. Clients ignore keys they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Health(Reply):
    """GET /healthz and GET /readyz."""

    status: Literal["ok"] = "ok"


# Workers and leases


class RegisterWorker(Request):
    """POST /workers."""

    name: Label
    host: Label
    slots: Annotated[int, Field(ge=1, le=1024)]
    gpus: Annotated[list[Label], Field(max_length=64)] = []
    labels: Annotated[dict[Label, Label], Field(max_length=32)] = {}
    allow: Annotated[list[Label], Field(max_length=100)] = []
    tasks: Annotated[list[Label], Field(max_length=1000)] = []


class Registered(Reply):
    """Reply to POST /workers. Send a heartbeat every `heartbeat_s`; a lease lasts `lease_s`."""

    worker_id: str
    lease_s: float
    heartbeat_s: float


class AcquireLeases(Request):
    """POST /leases: wait up to `wait_s` for at least one trial, take up to `n`."""

    worker_id: Token
    n: Annotated[int, Field(ge=1, le=1024)] = 1
    wait_s: Annotated[float, Field(ge=0, le=60)] = 20.0


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

    `run` is the spec's `run` section as JSON. `lr_factor` is the level after `resume.step`.
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
    metrics: Metrics = {}


class Reports(Request):
    """POST /reports: reports of any of the caller's leases, answered item by item."""

    reports: Annotated[list[ReportItem], Field(min_length=1, max_length=10_000)]


class DecisionView(Reply):
    """A decision, as `tuner.decision.Decision`."""

    action: Action = Action.CONTINUE
    lr_factor: float = 1.0
    reason: str = ""
    outcome: Outcome | None = None


class Problem(Reply):
    """RFC 9457 problem document. `type` ends with the slug of `tuner.errors`."""

    type: str
    title: str
    status: int
    detail: str = ""
    faults: list[dict[str, str]] = []
    extra: dict[str, Any] = {}


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
    """POST /heartbeats: renew leases. External loops send it without a worker."""

    worker_id: Token | None = None
    leases: Annotated[list[HeldLease], Field(max_length=10_000)] = []


class HeartbeatReply(Reply):
    """Answers in the order of the request; `problem` (stale-attempt) means: kill that trial."""

    results: list[ReportResult]
    known: bool = True


class FinishTrial(Request):
    """POST /leases/{lease}/finish. `value` overrides what was reported, or stands alone."""

    attempt: Annotated[int, Field(ge=1)]
    outcome: Literal["complete", "diverged", "oom", "failed"] = "complete"
    value: Finite | None = None
    error: Text = ""
    retry: bool = True


class ReleaseTrial(Request):
    """POST /leases/{lease}/release: give the trial back, unharmed."""

    attempt: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(max_length=500)] = ""


class TrialAfter(Reply):
    """Where the trial stands after a finish or a release."""

    state: TrialState
    outcome: Outcome | None = None


# Studies


class StudyPatch(Request):
    """PATCH /studies/{study}."""

    state: Literal["running", "paused", "stopped", "cancelled"] | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    parallel: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Extend(Request):
    """POST /studies/{study}/extend: add to the budget; a finished study goes on."""

    trials: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    hours: Annotated[float, Field(ge=0, le=100_000)] = 0.0


class CloneStudy(Request):
    """POST /studies/{study}/clone: the same document with `changes` (merged) under a new name."""

    name: StudyName | None = None
    changes: dict[str, Any] = {}


class Enqueue(Request):
    """POST /studies/{study}/trials: run these parameters next. Absent ones take their middle.

    `like` takes the parameters of a trial of this study, changed by `params`; with
    `from_checkpoint` the new trial goes on from that trial's checkpoint.
    """

    params: Params = {}
    like: Annotated[int, Field(ge=0)] | None = None
    from_checkpoint: bool = False


class RatePoint(Reply):
    """From this step on the rate was the starting rate times `lr_factor`. Steps count from 0."""

    step: int
    lr_factor: float


class BestView(Reply):
    """The best trial: parameters, value, and the rate schedule as it really ran."""

    number: int
    value: float
    step: int
    params: dict[str, Any]
    schedule: list[RatePoint]
    outcome: Outcome
    origin: Origin
    metrics: dict[str, float] = {}
    mean: float | None = None
    std: float | None = None
    seeds: int | None = None


class Dryrun(Reply):
    """Reply to POST /studies?dry_run=true."""

    spec: dict[str, Any]
    warnings: list[str]


class StudyView(Reply):
    """A study as others see it. `note` says why nothing runs, if so."""

    id: int
    name: str
    state: StudyState
    stopping: EndReason | None = None
    ended_why: EndReason | None = None
    note: str = ""
    warnings: list[str] = []
    spec: dict[str, Any]
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: dict[str, int]
    steps_done: int
    steps_saved: int
    halvings: int
    best: BestView | None = None
    best_folk: BestView | None = None


class StudyPage(Reply):
    """GET /studies."""

    items: list[StudyView]
    next_cursor: str | None = None


class TrialView(Reply):
    """A trial without its curve. `last_value` is null if there is none or it is not finite."""

    number: int
    state: TrialState
    outcome: Outcome | None
    reason: str
    origin: Origin
    params: dict[str, Any]
    value: float | None
    last_value: float | None
    last_step: int
    lr_factor: float
    attempt: int
    failures: int
    seed: int
    worker_id: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class TrialPage(Reply):
    """GET /studies/{study}/trials."""

    items: list[TrialView]
    next_cursor: str | None = None


class ReportView(Reply):
    """One stored report. `value` is null when it was not finite; `status` then says so."""

    attempt: int
    step: int
    value: float | None
    status: Literal["ok", "nan", "inf", "-inf"]
    lr_factor: float
    metrics: dict[str, float]
    at: datetime


class EventView(Reply):
    """One event."""

    seq: int
    kind: EventKind
    at: datetime
    study_id: int
    number: int | None = None
    attempt: int | None = None
    step: int | None = None
    data: dict[str, Any] = {}


class EventPage(Reply):
    """GET /studies/{study}/events?after=SEQ."""

    items: list[EventView]
    next_cursor: str | None = None


class TrialDetail(TrialView):
    """GET /studies/{study}/trials/{number}: with every attempt's reports and all events."""

    reports: list[ReportView]
    events: list[EventView]


class TrialExport(TrialView):
    """A trial as exported: `curve` holds step, value (null when not finite) and `lr_factor`."""

    schedule: list[RatePoint]
    curve: list[tuple[int, float | None, float]]


class StudyExport(Reply):
    """GET /studies/{study}/export?format=json."""

    study: StudyView
    trials: list[TrialExport]
    events: list[EventView]


class WorkerView(Reply):
    """A worker. `alive` means that it was heard within a lease's length."""

    worker_id: str
    name: str
    host: str
    slots: int
    gpus: list[str]
    labels: dict[str, str]
    allow: list[str]
    alive: bool
    seen_at: datetime
    running: list[str]


class WorkerPage(Reply):
    """GET /workers."""

    items: list[WorkerView]
