"""The ways a rate may change that are compared, each decided by the service's own policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmarks.halvings.stack import Levels
from tuner.policies import ratio as update_ratio
from tuner.policies import restarts, schedule
from tuner.policies.halving import Halving
from tuner.spec import (
    HalveOnPlateau,
    RateChange,
    RateSchedule,
    UpdateRatio,
    WarmRestarts,
    patience_of,
)
from tuner.trial import Report

Make = Callable[[Sequence[float], int], Levels]


def _restarts(rates: Sequence[float], epochs: int) -> Levels:
    # Two cycles, the second twice as long, which end with the training.
    policy = WarmRestarts(name="warm_restarts", period=epochs // 3, growth=2, floor=1e-4)
    return lambda epoch, val, ratio: [restarts.level(policy, epoch)] * len(rates)


def _ratio(rates: Sequence[float], epochs: int) -> Levels:
    policy = UpdateRatio(name="update_ratio", until=epochs // 2)
    reports: list[list[Report]] = [[] for _ in rates]
    levels = [1.0 for _ in rates]

    def decide(epoch: int, val: Tensor, ratio: Tensor) -> Sequence[float]:
        for i, (value, found) in enumerate(zip(val.tolist(), ratio.tolist(), strict=True)):
            reports[i].append(Report(epoch, value, levels[i], {"update_ratio": found}))
            levels[i] = update_ratio.judge(policy, None, reports[i], levels[i]).lr_factor
        return levels

    return decide


@dataclass(frozen=True, kw_only=True)
class Plateaus:
    """Halving on a plateau, a state for each slot."""

    policy: HalveOnPlateau

    def __call__(self, rates: Sequence[float], epochs: int) -> Levels:
        """Return what decides the levels of slots that start at these rates."""
        rules = [Halving(policy=self.policy, mode="min", base_rate=rate) for rate in rates]
        states = [rule.start() for rule in rules]

        def levels(epoch: int, val: Tensor, ratio: Tensor) -> Sequence[float]:
            for i, (rule, value) in enumerate(zip(rules, val.tolist(), strict=True)):
                states[i] = rule.advance(states[i], Report(epoch, value, states[i].level))
            return [state.level for state in states]

        return levels


def _in_advance(level: Callable[[float], float]) -> Make:
    """Return a schedule; `level` maps the share of the epochs that is done to the level."""

    def make(rates: Sequence[float], epochs: int) -> Levels:
        points = [
            RateChange(step=n, lr_factor=max(level(n / epochs), 1e-6)) for n in range(1, epochs + 1)
        ]
        policy = RateSchedule(name="rate_schedule", points=points)
        return lambda epoch, val, ratio: [schedule.level(policy, epoch)] * len(rates)

    return make


def _constant(rates: Sequence[float], epochs: int) -> Levels:
    return lambda epoch, val, ratio: [1.0] * len(rates)


def _halve(**settings: float) -> Plateaus:
    document = {"name": "halve_on_plateau", **settings}
    return Plateaus(policy=HalveOnPlateau.model_validate(document))


def _default(rates: Sequence[float], epochs: int) -> Levels:
    policy = HalveOnPlateau(name="halve_on_plateau")
    patience = patience_of(policy, epochs)
    return Plateaus(policy=policy.model_copy(update={"patience": patience}))(rates, epochs)


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


SCHEMES: Mapping[str, Make] = {
    "constant": _constant,
    "linear": _in_advance(lambda done: 1 - done),
    "cosine": _in_advance(_cosine),
    **{f"÷2 patience {p}": _halve(factor=0.5, patience=p) for p in (1, 2, 3, 5, 8, 12)},
    **{f"÷5 patience {p}": _halve(factor=0.2, patience=p) for p in (1, 3, 5, 8)},
    **{f"÷2 patience {p} warmup 9": _halve(factor=0.5, patience=p, warmup=9) for p in (3, 5)},
    "÷2 patience 5 threshold .01": _halve(factor=0.5, patience=5, threshold=0.01),
    "÷2 patience 5 cooldown 3": _halve(factor=0.5, patience=5, cooldown=3),
    "default": _default,
    "warm restarts": _restarts,
    "update ratio": _ratio,
}
LONG = {
    *("constant", "default", "linear", "cosine", "÷2 patience 1", "÷2 patience 3", "÷2 patience 5"),
    *("÷2 patience 8", "÷2 patience 12", "÷5 patience 5", "÷5 patience 8"),
}
"""The schemes that are compared over longer trainings, too."""
