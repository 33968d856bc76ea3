"""The models of what steers trials while they train: pruners and policies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tuner.spec.base import Document, Steps
from tuner.text import Identifier, MetricName


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
    """The rate is multiplied by this: 0.5 halves it, 0.2 divides it by 5."""
    patience: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Reports without improvement that are let pass. If absent a tenth of the steps, 5 to 10."""
    threshold: Annotated[float, Field(ge=0)] = 1e-4
    """What counts as an improvement."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """Whether the threshold is a share of the best value or an amount."""
    cooldown: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Reports after a cut that are not counted."""
    warmup: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Reports at the start that are not counted."""
    min_lr: Annotated[float, Field(ge=0)] = 0.0
    """A trial whose rate would fall below this stops as converged."""
    eps: Annotated[float, Field(ge=0)] = 1e-8
    """A cut that changes the rate by less is left out."""
    rate: Identifier = "lr"
    """The parameter that holds the starting rate."""
    control: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the halved trials that run a second time without, to show what halving is worth."""


class WarmRestarts(Document):
    """Lets the rate fall along a cosine and restarts it, each cycle longer (Loshchilov 2017)."""

    name: Literal["warm_restarts"]
    """Which one."""
    period: Steps = 10
    """Steps of the first cycle."""
    growth: Annotated[int, Field(ge=1, le=100)] = 2
    """Each cycle is this many times as long as the one before."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01
    """The share of its starting rate that a cycle falls to."""
    peak: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each cycle starts at this share of the starting rate of the one before."""

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.growth == 1 and self.period == 1:
            raise ValueError("cycles of one step never fall: set period or growth above 1")
        return self


class UpdateRatio(Document):
    """Scales the rate until a step changes the weights by about a thousandth of their size."""

    name: Literal["update_ratio"]
    """Which one."""
    metric: MetricName = "update_ratio"
    """Name of the reported metric: norm of a step's update divided by norm of the weights."""
    target: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Where the ratio should be."""
    band: Annotated[float, Field(gt=1, le=1000)] = 3.0
    """The ratio may be this many times the target, or the target this many times the ratio."""
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 2
    """Reports in a row outside of the band that are let pass."""
    step: Annotated[float, Field(gt=1, le=1000)] = 2.0
    """One change multiplies or divides the rate by at most this."""
    bound: Annotated[float, Field(gt=1, le=1e6)] = 10.0
    """All changes together multiply or divide the starting rate by at most this."""
    until: Steps | None = None
    """Last step at which the rate is changed. Towards a training's end the ratio falls anyway."""


class EarlyStopping(Document):
    """Ends a trial as complete once the objective gets worse while the training still gets better.

    Reports that name no training metric count for nothing.
    """

    name: Literal["early_stopping"]
    """Which one."""
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 12
    """Reports of over-fitting since the best one that are let pass."""
    threshold: Annotated[float, Field(ge=0)] = 0.0
    """A report is worse if it is by this share of the best value's size."""
    train: MetricName | None = "train_loss"
    """The training's metric. Null: a report that is worse counts, whatever the training does."""
    train_mode: Literal["min", "max"] = "min"
    """Whether a smaller or a larger value of it is better."""
    warmup: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Reports at the start that are not counted."""


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


Policy = Annotated[
    HalveOnPlateau | RateSchedule | WarmRestarts | UpdateRatio | EarlyStopping | Divergence,
    Field(discriminator="name"),
]
SETS_RATE = (HalveOnPlateau, RateSchedule, WarmRestarts, UpdateRatio)
"""The policies that set the rate. A study has at most one of them."""


def patience_of(policy: HalveOnPlateau, steps: int | None) -> int:
    """Return a policy's patience, by the longest training in steps where it names none.

    docs/why/halving.md shows what it was measured on.
    """
    if policy.patience is not None:
        return policy.patience
    return 10 if steps is None else min(max(round(steps / 10), 5), 10)


def watched(policies: Sequence[Policy]) -> frozenset[str]:
    """Return the names of the metrics that policies read beside the objective."""
    names = {p.metric for p in policies if isinstance(p, UpdateRatio)}
    names.update(p.train for p in policies if isinstance(p, EarlyStopping) and p.train is not None)
    return frozenset(names)
