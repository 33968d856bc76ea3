"""Studies, trials, attempts and events as values. All times are aware and in UTC."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Self

from tuner.decision import Outcome
from tuner.handle import ParamValue

INHERITED = 0
"""The attempt under which a trial keeps what it took over from another one."""


class StudyState(StrEnum):
    """Where a study stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class EndReason(StrEnum):
    """Why a study finished."""

    BUDGET = "budget"
    STOPPED = "stopped"
    FAILURES = "failures"


class TrialState(StrEnum):
    """Where a trial stands. `ended` is final."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Origin(StrEnum):
    """Where a trial's parameters came from."""

    FOLK = "folk"
    SAMPLED = "sampled"
    ENQUEUED = "enqueued"
    FINALIST = "finalist"
    CONTROL = "control"
    ADOPTED = "adopted"


class AttemptEnd(StrEnum):
    """Why an attempt is over. Only `ended` ends the trial; the others send it back to the queue."""

    ENDED = "ended"
    LOST = "lost"
    RELEASED = "released"
    FAILED = "failed"


class EventKind(StrEnum):
    """What happened."""

    SUBMITTED = "submitted"
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPING = "stopping"
    EXTENDED = "extended"
    CHANGED = "changed"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    ENQUEUED = "enqueued"
    LEASED = "leased"
    LOST = "lost"
    RELEASED = "released"
    RETRIED = "retried"
    CHECKPOINT = "checkpoint"
    MISSING = "missing"
    HALVED = "halved"
    SCALED = "scaled"
    COMPARED = "compared"
    RUNG = "rung"
    FINDING = "finding"
    ENDED = "ended"
    REMARKED = "remarked"
    RESTORED = "restored"
    UNTOLD = "untold"


class Report(NamedTuple):
    """An intermediate value of the objective after `step` finished steps.

    `lr_factor` is the level that was in force while this step trained. `value` may be non-finite.
    `metrics` are those of its metrics that the study's policies read; None without any.
    """

    step: int
    value: float
    lr_factor: float
    metrics: Mapping[str, float] | None = None


class RungMark(NamedTuple):
    """The value with which a trial stood at a rung. `bracket` is 0 but for Hyperband."""

    bracket: int
    rung: int
    step: int
    value: float


class HandCut(NamedTuple):
    """A cut of the rate that a person made after `step` finished steps. It outlives attempts."""

    step: int
    factor: float


class Checkpoint(NamedTuple):
    """A checkpoint the server holds whole: `path` within the artifact folder, `size` in bytes."""

    attempt: int
    step: int
    sha256: str
    size: int
    path: str


class Artifact(NamedTuple):
    """A file that a trial keeps: `name` as people see it, `path` within the artifact folder."""

    name: str
    attempt: int
    sha256: str
    size: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to run a trial. The token is the fence: each write must carry it.

    `token_id` names the access token it was given to, and which alone may use it.
    """

    token: str
    study_id: int
    number: int
    attempt: int
    worker_id: str | None
    token_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration's life.

    `reports` is the lineage: the reports of earlier attempts up to the checkpoint that the present
    attempt resumed from, then its own, ordered by step. `marks` are the rungs judged in it.
    `lr_factor` is the level decided so far; `hand` are the cuts in it that people made, by step.
    `failures` counts attempts held against `retry.max`.
    `held_by` names the access token of the last attempt's lease. `share` is the least part of a GPU
    it gets, after it ran out of memory on less.
    """

    trial_id: int
    study_id: int
    number: int
    params: Mapping[str, ParamValue]
    seed: int
    origin: Origin
    created_at: datetime
    state: TrialState = TrialState.WAITING
    outcome: Outcome | None = None
    value: float | None = None
    reason: str = ""
    attempt: int = 0
    failures: int = 0
    lr_factor: float = 1.0
    reports: tuple[Report, ...] = ()
    marks: tuple[RungMark, ...] = ()
    hand: tuple[HandCut, ...] = ()
    lease: Lease | None = None
    held_by: str | None = None
    checkpoint: Checkpoint | None = None
    share: float | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failed_on: str | None = field(default=None, compare=False)
    """The worker with which its last attempt failed. Never stored."""
    memo: object = field(default=None, compare=False, repr=False)
    """What a policy keeps of `reports`, to not read them all again. Never stored."""
    course: object = field(default=None, compare=False, repr=False)
    """What findings keep of the reports' metrics: a `tuner.findings.Course`. Never stored."""

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied.

        As `dataclasses.replace`, which costs more than the rest of a report's way through memory.
        """
        if not changes.keys() <= self.__dataclass_fields__.keys():
            raise TypeError(f"a trial has no {sorted(changes.keys() - self.__dataclass_fields__)}")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **changes)
        copy.__dict__.pop("halvings", None)
        return copy

    @property
    def never_pruned(self) -> bool:
        """Whether pruning spares this trial: the rules of thumb and the finalists."""
        return self.origin in (Origin.FOLK, Origin.FINALIST)

    @property
    def searches(self) -> bool:
        """Whether it is part of the search: no run of a finalist, and no control of halving."""
        return self.origin not in (Origin.FINALIST, Origin.CONTROL)

    @property
    def last_step(self) -> int:
        """The highest step reported, 0 before the first."""
        return self.reports[-1].step if self.reports else 0

    @cached_property
    def halvings(self) -> int:
        """How often the rate was cut: the cuts in force, and one that was decided last."""
        levels = [1.0, *(r.lr_factor for r in self.reports), self.lr_factor]
        return sum(after < before for before, after in pairwise(levels))


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a study or a trial. `seq` is given by the database, in order."""

    study_id: int
    kind: EventKind
    at: datetime
    number: int | None = None
    attempt: int | None = None
    step: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker process on a node.

    `allow`, `allow_commands` and `allow_env` are patterns of the entrypoints and commands it may
    run, and of the variables studies may set: `tuner.allow` says what they match.
    `token_id` names the access token it registered with, `project` that token's project.
    """

    worker_id: str
    name: str
    host: str
    slots: int
    gpus: tuple[str, ...]
    labels: Mapping[str, str]
    allow: tuple[str, ...]
    tasks: tuple[str, ...]
    registered_at: datetime
    seen_at: datetime
    token_id: str | None = None
    project: str | None = None
    allow_commands: tuple[str, ...] = ()
    allow_env: tuple[str, ...] = ()

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied."""
        return replace(self, **changes)


def trial_seed(study_seed: int, number: int) -> int:
    """Derive a trial's seed in [0, 2**31) from the study's seed and the trial's number."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def objective_value(reports: tuple[Report, ...], mode: str, which: str) -> float | None:
    """Return the best (`which="best"`) or the last finite value of a lineage, None without any."""
    finite = [r.value for r in reports if abs(r.value) != float("inf") and r.value == r.value]
    if not finite:
        return None
    if which == "last":
        return finite[-1]
    return min(finite) if mode == "min" else max(finite)
