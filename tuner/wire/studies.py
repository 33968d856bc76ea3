"""Messages of people: studies, trials, events, results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tuner.decision import Outcome
from tuner.spec import After, Repeats
from tuner.text import StudyName
from tuner.trial import EndReason, EventKind, Origin, StudyState, TrialState
from tuner.wire.base import Params, Reply, Request, Step

_FIXED = (
    "name", "objective", "run", "constraints", "sampler", "pruner", "policies", "retry",
)  # fmt: skip


class StudyPatch(Request):
    """PATCH /studies/{study}."""

    REFUSALS: ClassVar[Mapping[str, str]] = {
        **{key: f"a live study's {key} can't be changed; clone the study" for key in _FIXED},
        "repeats": "given by extending the study, as `tuner finish` does",
        "after": "given by extending the study, as `tuner finish` does",
        "again": "a live study can't begin with another one's trials; enqueue them",
        "budget": "give `parallel`; trials and hours are added by extending the study",
        "queue": "give `priority`; nothing else of a live study's place can be changed",
    }
    """What is said to keys of the study document that are none of this one's."""

    state: Literal["running", "paused", "stopped", "cancelled"] | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    parallel: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    space: Annotated[dict[str, Any], Field(min_length=1, max_length=200)] | None = None
    """Parameters with other ranges or choices, each whole, as in the study document."""


class Extend(Request):
    """POST /studies/{study}/extend: add to the budget; a finished study goes on.

    `repeats` and `after` replace those of its document. With them alone nothing more is searched.
    """

    trials: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    hours: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    repeats: Repeats | None = None
    after: After | None = None


class CloneStudy(Request):
    """POST /studies/{study}/clone: the same document with `changes` (merged) under a new name."""

    name: StudyName | None = None
    changes: dict[str, Any] = Field(default_factory=dict)


class CheckpointSource(Request):
    """The checkpoint of a trial of any study that the caller may see.

    `step` names one that the trial keeps, its newest one if absent. With `steps: on` the new trial
    goes on at that step, with the curve and the rate up to there; with `anew` it counts from 0 and
    begins at its own rate. Absent, it is `on` within a study and `anew` from another one.
    """

    study: Annotated[str, Field(min_length=1, max_length=200)]
    trial: Annotated[int, Field(ge=0, lt=2**31)]
    step: Step | None = None
    steps: Literal["on", "anew"] | None = None


class Enqueue(Request):
    """POST /studies/{study}/trials: run these parameters next. Absent ones take their middle.

    `like` takes the parameters of a trial of this study, changed by `params`; with
    `from_checkpoint` the new trial goes on from that trial's checkpoint: its newest one, or the
    one of `step`. `source` starts it from a checkpoint of any study's trial, whose parameters it
    takes where this space has them.
    """

    params: Params = Field(default_factory=dict)
    like: Annotated[int, Field(ge=0)] | None = None
    from_checkpoint: bool = False
    step: Step | None = None
    source: CheckpointSource | None = None


class RatePoint(Reply):
    """From this step on the rate was the starting rate times `lr_factor`. Steps count from 0."""

    step: int
    lr_factor: float


class FinalistView(Reply):
    """A configuration that ran again on `n` fresh seeds. `number` is the trial it repeats.

    `low` and `high` are the ends of the mean's 95 % interval by Student's t. `luck` is by how much
    `first`, the value it was chosen for, was better than the mean; negative where it was worse.
    `worst` is the worst of the runs.
    """

    number: int
    first: float
    mean: float
    std: float
    low: float | None = None
    high: float | None = None
    n: int
    luck: float
    worst: float | None = None


class BestView(Reply):
    """The best trial: parameters, value, and the rate schedule as it really ran.

    Of a finalist, `mean` and what follows it are those of its runs on fresh seeds: `FinalistView`.
    """

    number: int
    value: float
    step: int
    params: dict[str, Any]
    schedule: list[RatePoint]
    outcome: Outcome
    origin: Origin
    metrics: dict[str, float] = Field(default_factory=dict)
    mean: float | None = None
    std: float | None = None
    seeds: int | None = None
    low: float | None = None
    high: float | None = None
    luck: float | None = None


class Dryrun(Reply):
    """Reply to POST /studies?dry_run=true."""

    spec: dict[str, Any]
    warnings: list[str]


class HalvingWorth(Reply):
    """What halving was worth beside trials that ran a second time without it.

    `mean` is what it improved the objective by, in its own units, positive if halving was the
    better; `low` and `high` are the ends of its 95 % interval. All are null before there are pairs
    to tell from. `open` pairs are under way.
    """

    pairs: int
    better: int
    open: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    text: str


class DriftView(Reply):
    """How the best configuration of the study that this one runs `again` does here.

    `trial` is its number there, `then` what it had there, `now` what it has here. `rival` is the
    trial of this study that is ahead of it, `gain` by how much, `low` and `high` the ends of the
    95 % interval of that. `pays`: whether a new search does; null if that can't be told (yet).
    """

    study: int
    of: str
    trial: int
    then: float | None = None
    now: float | None = None
    rival: int | None = None
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    pays: bool | None = None
    text: str


class StudyView(Reply):
    """A study as others see it. `note` says why nothing runs, if so.

    `version` changes when a person changes the study; in quotes it goes into `If-Match`.
    `adopted` of its trials ran elsewhere before it was taken over. `remark` is what people noted.
    """

    id: int
    name: str
    version: str = ""
    state: StudyState
    stopping: EndReason | None = None
    ended_why: EndReason | None = None
    note: str = ""
    warnings: list[str] = Field(default_factory=list)
    spec: dict[str, Any]
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: dict[str, int]
    adopted: int = 0
    steps_done: int
    steps_saved: int
    halvings: int
    halving_worth: HalvingWorth | None = None
    best: BestView | None = None
    best_folk: BestView | None = None
    finalists: list[FinalistView] = Field(default_factory=list)
    drift: DriftView | None = None
    remark: str = ""
    tags: list[str] = Field(default_factory=list)
    pinned: bool = False


class SpecView(Reply):
    """A document that a study had, or has, from `at` on."""

    version: int
    spec: dict[str, Any]
    at: datetime
    by: str


class SpecPage(Reply):
    """GET /studies/{study}/specs."""

    items: list[SpecView]
    next_cursor: str | None = None


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
    remark: str = ""
    tags: list[str] = Field(default_factory=list)


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
    data: dict[str, Any] = Field(default_factory=dict)


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
