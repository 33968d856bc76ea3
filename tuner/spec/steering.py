"""The models of what steers trials while they train: pruners and policies."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tuner.spec.base import Document, Steps
from tuner.text import Identifier


class _Graceful(Document):
    grace: Annotated[int, Field(ge=0, le=1_000_000)] = 3
    """Steps after a halving during which a trial is not judged."""


class _Rungs(_Graceful):
    min: Steps | None = None
    """First rung, in steps. A tenth of the longest training if absent."""
    max: Steps | None = None
    """The longest training, in steps. `budget.steps` if absent."""
    eta: Annotated[int, Field(ge=2, le=1000)] = 3
    """One in `eta` goes on at each rung; rungs lie a factor `eta` apart."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) is larger than max ({self.max})")
        return self


class AshaPruner(_Rungs):
    """Asynchronous successive halving (Optuna's SuccessiveHalvingPruner)."""

    name: Literal["asha"]
    """Which one."""


class HyperbandPruner(_Rungs):
    """Successive halving in several brackets (Optuna's HyperbandPruner)."""

    name: Literal["hyperband"]
    """Which one."""


class _Percentile(_Graceful):
    startup: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    """Complete trials needed before any is pruned."""
    warmup: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Steps of a trial that are not judged."""
    interval: Steps = 1
    """Steps between two judgements."""


class MedianPruner(_Percentile):
    """Prunes a trial whose best value is worse than the median of complete trials at its step."""

    name: Literal["median"]
    """Which one."""


class PercentilePruner(_Percentile):
    """As median, with a percentile of one's own."""

    name: Literal["percentile"]
    """Which one."""
    percentile: Annotated[float, Field(ge=0, le=100)] = 25.0
    """The best `percentile` percent go on."""


class NoPruner(Document):
    """Prunes nothing."""

    name: Literal["none"]
    """Which one."""


Pruner = Annotated[
    AshaPruner | HyperbandPruner | MedianPruner | PercentilePruner | NoPruner,
    Field(discriminator="name"),
]


class HalveOnPlateau(Document):
    """Cuts the rate when the objective stops improving, as torch's ReduceLROnPlateau does."""

    name: Literal["halve_on_plateau"]
    """Which one."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The rate is multiplied by this."""
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 3
    """Reports without improvement that are let pass."""
    threshold: Annotated[float, Field(ge=0)] = 1e-4
    """What counts as an improvement."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """Whether the threshold is a share of the best value or an amount."""
    cooldown: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Reports after a cut that are not counted."""
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    """A trial whose rate would fall below this stops as converged."""
    eps: Annotated[float, Field(ge=0)] = 1e-8
    """A cut that changes the rate by less is left out."""
    rate: Identifier = "lr"
    """The parameter that holds the starting rate."""


class Divergence(Document):
    """Stops a trial whose objective is NaN, infinite or far above its start, as diverged."""

    name: Literal["divergence"]
    """Which one."""
    ratio: Annotated[float, Field(gt=1)] = 10.0
    """Distance from the first report, in units of its size, at which a trial counts as diverged."""
    floor: Annotated[float, Field(ge=0)] = 1.0
    """Smallest size the first report is taken to have."""


class RateChange(Document):
    """One change of the rate."""

    step: Steps
    """Finished steps after which the level is in force."""
    lr_factor: Annotated[float, Field(gt=0, le=1e6)]
    """The starting rate is multiplied by this from then on."""


class RateSchedule(Document):
    """Sets the rate at given steps, as an exported study does to repeat what its best trial did."""

    name: Literal["rate_schedule"]
    """Which one."""
    points: Annotated[list[RateChange], Field(max_length=10_000)]
    """The changes, in order of their steps. Before the first the starting rate is in force."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        steps = [p.step for p in self.points]
        if any(a >= b for a, b in pairwise(steps)):
            raise ValueError("the steps of the points must rise")
        return self


Policy = Annotated[HalveOnPlateau | RateSchedule | Divergence, Field(discriminator="name")]
