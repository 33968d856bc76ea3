"""Messages that take over a study which plain Optuna ran: first its document, then its trials."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, model_validator

from tuner.wire.base import Finite, Params, Reply, Request, Step

MOST_TRIALS = 1000
"""Trials in one request."""

NonFinite = Literal["nan", "inf", "-inf"]
Number = Finite | NonFinite
State = Literal["complete", "pruned", "fail", "running", "waiting"]
At = Annotated[AwareDatetime, Field(strict=False)]
Attributes = Annotated[
    dict[Annotated[str, Field(max_length=512)], JsonValue], Field(max_length=1000)
]


class AdoptedTrial(Request):
    """A trial as Optuna knows it: its own state, parameters, curve and times.

    `distributions` says for each parameter where its own stands in the request's list. `running`
    trials are taken over as cancelled, `waiting` ones as enqueued: these have no distributions, and
    what `params` leaves out takes its middle.
    """

    state: State
    value: Number | None = None
    params: Params = Field(default_factory=dict)
    distributions: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    steps: list[Step] = Field(default_factory=list)
    values: list[Number] = Field(default_factory=list)
    started_at: At | None = None
    ended_at: At | None = None
    user_attrs: Attributes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.steps) != len(self.values):
            raise ValueError("steps and values are of one length")
        if any(a >= b for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError("steps come in ascending order")
        if self.state != "waiting" and self.params.keys() != self.distributions.keys():
            raise ValueError("each parameter has a distribution")
        if self.state == "complete" and self.value in (None, "nan"):
            raise ValueError("a complete trial has a value")
        if self.state in ("complete", "pruned", "fail") and self.ended_at is None:
            raise ValueError("a finished trial has an end")
        return self


class Adopt(Request):
    """POST /studies/import: a study to take over, its trials to follow.

    `document` is a study document; its budget counts the trials that follow. `source` is kept for
    people to read.
    """

    document: dict[str, Any]
    source: Annotated[str, Field(max_length=1000)] = ""
    user_attrs: Attributes = Field(default_factory=dict)


class AdoptTrials(Request):
    """POST /studies/{study}/import: the study's next trials, from number `first` on.

    `distributions` are Optuna's, as its JSON. With `last` the study opens.
    """

    first: Annotated[int, Field(ge=0, lt=2**31)]
    distributions: Annotated[
        list[Annotated[str, Field(max_length=300_000)]], Field(max_length=10_000)
    ] = Field(default_factory=list)
    trials: Annotated[list[AdoptedTrial], Field(max_length=MOST_TRIALS)]
    last: bool = False


class Adopted(Reply):
    """How far a study is taken over: it has `trials`, and is `open` once it has all."""

    id: int
    name: str
    trials: int
    open: bool
    warnings: list[str] = Field(default_factory=list)
