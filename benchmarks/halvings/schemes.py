"""The ways a rate may change that are compared, each decided by the service's own policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmarks.halvings.stack import Levels
from tuner.policies import schedule
from tuner.policies.halving import Halving
from tuner.spec import HalveOnPlateau, RateChange, RateSchedule
from tuner.trial import Report

Make = Callable[[Sequence[float], int], Levels]


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


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


PATIENCES = (1, 2, 3, 5, 8, 12)
SCHEMES: Mapping[str, Make] = {
    "constant": _constant,
    "linear": _in_advance(lambda done: 1 - done),
    "cosine": _in_advance(_cosine),
    **{f"÷2 patience {p}": _halve(factor=0.5, patience=p) for p in PATIENCES},
    **{f"÷5 patience {p}": _halve(factor=0.2, patience=p) for p in PATIENCES},
    **{f"÷2 patience {p} warmup 9": _halve(factor=0.5, patience=p, warmup=9) for p in (1, 3, 5)},
    **{
        f"÷2 patience {p} threshold .01": _halve(factor=0.5, patience=p, threshold=0.01)
        for p in (3, 5)
    },
    "÷2 patience 3 threshold 0": _halve(factor=0.5, patience=3, threshold=0.0),
    "÷2 patience 3 cooldown 3": _halve(factor=0.5, patience=3, cooldown=3),
}
