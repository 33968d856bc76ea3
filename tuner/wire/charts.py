"""Messages that charts are drawn from: columns instead of rows, bounded in size."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tuner.decision import Outcome
from tuner.trial import EndReason, Origin, StudyState, TrialState
from tuner.wire.base import Reply

Column = list[float | None]
"""Numbers with at most eight significant digits; null for what is absent or not finite."""


class Staircase(Reply):
    """The best value so far, where it improved: `n` trials had ended, `steps` were trained."""

    number: list[int] = Field(default_factory=list)
    n: list[int] = Field(default_factory=list)
    steps: list[int] = Field(default_factory=list)
    value: list[float] = Field(default_factory=list)


class Crew(Reply):
    """The live workers that serve a study: their slots, of which `busy` train, and their GPUs.

    `here` counts the study's own trials that are trained now, by whomever.
    """

    workers: int = 0
    slots: int = 0
    gpus: int = 0
    busy: int = 0
    here: int = 0


class Progress(Reply):
    """GET /studies/{study}/progress: how the search went, in order of the trials' ends.

    `points` are ended trials with a value, of which `shown` of `total` are here; `best` counts
    those that trained to their end, `folk` the best rule of thumb. `eta_s` is the range of seconds
    in which the budget is used up at the present pace, None where that can't be told. `crew` says
    who trains it.
    """

    total: int
    shown: int
    points: dict[str, list[Any]]
    best: Staircase
    folk: float | None
    epochs: int
    steps_saved: int
    since_best_trials: int | None
    since_best_s: float | None
    eta_s: tuple[float, float] | None
    crew: Crew = Field(default_factory=Crew)


class Curve(Reply):
    """One trial's curve. `thinned` says that points were left out."""

    number: int
    state: TrialState
    outcome: Outcome | None
    origin: Origin
    attempt: int
    step: list[int]
    value: Column
    lr_factor: list[float]
    thinned: bool = False


class Band(Reply):
    """Quantiles of the ended trials that reached a step: `n` of them, `q` by name."""

    step: list[int]
    n: list[int]
    q: dict[str, list[float]]


class Curves(Reply):
    """GET /studies/{study}/curves: the best, the running and the chosen trials, and the rest.

    `shown` of `total` trials with a curve are here as lines; `band` is of all that have ended.
    """

    total: int
    shown: int
    curves: list[Curve]
    band: Band | None


class Columns(Reply):
    """GET /studies/{study}/columns: the trials as columns, oldest first.

    `rows` of `total` trials are here. Each parameter has a column; absent ones are null.
    """

    total: int
    rows: int
    columns: dict[str, list[Any]]
    params: dict[str, list[Any]]


class ImportanceBar(Reply):
    """A parameter's share of what tells the best trials from all: between 0 and 1."""

    name: str
    share: float


class Importance(Reply):
    """GET /studies/{study}/importance: which parameters matter, the one that matters most first.

    Computed from `n` trials at `at`; `behind` more have trained to their end since. `why` says why
    there is none.
    """

    state: Literal["ready", "computing", "unavailable"]
    why: str = ""
    n: int
    at: datetime | None = None
    behind: int = 0
    items: list[ImportanceBar] = Field(default_factory=list)


class Rung(Reply):
    """A step where trials are compared: `reached` by some, of which `pruned` ended there.

    `cutoff` is the worst value that would go on now, None for pruners without rungs; `saved` counts
    the steps that those pruned here did not train.
    """

    bracket: int
    rung: int
    step: int
    reached: int
    pruned: int
    cutoff: float | None
    saved: int


class Cause(Reply):
    """Trials that failed alike: how many, the newest `numbers`, the newest `reason` in full.

    `steps` is the step at which most of them ended.
    """

    outcome: Outcome
    cause: str
    n: int
    numbers: list[int]
    reason: str
    steps: int


class Endings(Reply):
    """GET /studies/{study}/endings: the funnel of rungs, steps saved by outcome, failures by cause.

    `trained` counts the steps of all `trials`; `full` is the most a trial may train.
    """

    trials: int
    trained: int
    full: int | None
    saved: dict[str, int]
    rungs: list[Rung]
    causes: list[Cause]


class BoardRow(Reply):
    """A study on the board. `rank` is its place in the queue's order; `note` says why it waits.

    `failed` counts failures and those out of memory; `best` is the last of `spark`.
    """

    id: int
    name: str
    rank: int
    state: StudyState
    stopping: EndReason | None
    ended_why: EndReason | None
    note: str
    project: str
    owner: str
    priority: int
    metric: str
    mode: Literal["min", "max"]
    created: datetime
    budget: int
    started: int
    ended: int
    running: int
    failed: int
    best: float | None
    spark: Staircase
    eta_s: tuple[float, float] | None
    tags: list[str] = Field(default_factory=list)
    pinned: bool = False


class Board(Reply):
    """GET /board."""

    items: list[BoardRow]
    next_cursor: str | None = None
