"""The values of findings: a report as they read it, what is kept of a course, what is found."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

WINDOW = 6
"""How many of the last reports are kept."""
MOST = 6
"""Findings of one trial at most."""
LAYER = "layer/"
"""How the metrics of a layer begin: `layer/NAME/grad`, `update`, `var` or `dead`."""

Number = float | int | str | None


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A report as rules read it: losses by their part, and what was measured of the training.

    `level` is the decided part of the rate that was in force. What was not reported is None.
    """

    step: int
    level: float = 1.0
    train: float | None = None
    val: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, step: int, value: float, level: float, metrics: Mapping[str, float], objective: str
    ) -> Reported:
        """Read a report; the objective is the validation loss where it is named like one."""
        val = metrics.get("val_loss")
        if val is None and is_validation_loss(objective) and math.isfinite(value):
            val = value
        return cls(
            step=step, level=level, train=metrics.get("train_loss"), val=val, metrics=metrics
        )

    @cached_property
    def layers(self) -> Mapping[str, Mapping[str, float]]:
        """What was measured of each layer: measure to the layer's name to the number, in order."""
        found: dict[str, dict[str, float]] = {}
        for name, value in self.metrics.items():
            if name.startswith(LAYER):
                layer, _, what = name[len(LAYER) :].rpartition("/")
                found.setdefault(what, {})[layer] = value
        return found


def is_validation_loss(objective: str) -> bool:
    """Tell whether an objective of this name is a loss on rows that are not trained on."""
    name = objective.lower()
    return name.endswith("loss") and not name.startswith("train")


class Past(NamedTuple):
    """A report gone by: what of it the rules compare with."""

    step: int
    train: float | None
    val: float | None


class Sign(NamedTuple):
    """What a rule sees in one report: the number that is compared, and numbers to be told."""

    measure: float
    data: Mapping[str, Number] = MappingProxyType({})


class Streak(NamedTuple):
    """A rule's signs in a row: how many reports, and the sum of their measures' logarithms."""

    length: int = 0
    logs: float = 0.0

    @property
    def mean(self) -> float:
        """The geometric mean of the measures."""
        return math.exp(self.logs / self.length) if self.length else 0.0


class Told(NamedTuple):
    """What was said by a rule last: of which measure, and for how many reports it is gone."""

    measure: float
    absent: int = 0


class Course(NamedTuple):
    """What is kept of an attempt's reports, and of what was found in the trial.

    Args:
        attempt: the attempt whose reports these are; of the earlier ones only `told` stays.
        reports: how many came.
        best: the report with the lowest validation loss.
        first_train, best_train: the first training loss and the lowest before the window.
        top_grad, top_rate, least_ratio: the largest gradient norm and rate, and the least update
            ratio, of the reports before the newest but for the rate's.
        rate: that of the newest report.
        told: what each rule said last; `said` counts all findings.
    """

    attempt: int = 0
    reports: int = 0
    window: tuple[Past, ...] = ()
    best: Past | None = None
    first_train: float | None = None
    best_train: float = math.inf
    top_grad: float = 0.0
    top_rate: float = 0.0
    least_ratio: float = math.inf
    rate: float = 0.0
    streaks: Mapping[str, Streak] = MappingProxyType({})
    told: Mapping[str, Told] = MappingProxyType({})
    said: int = 0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a rule found after `step`: what is seen, in numbers, and what to do about it."""

    rule: str
    step: int
    seen: str
    advice: str
    data: Mapping[str, Number]

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.seen}: {self.advice}"

    def document(self) -> dict[str, Number]:
        """Return it as the data of an event."""
        numbers = {
            key: None if isinstance(n, float) and not math.isfinite(n) else n
            for key, n in self.data.items()
        }
        return {
            "rule": self.rule, "step": self.step, "reason": self.text,
            "seen": self.seen, "advice": self.advice, **numbers,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is looked for in each report.

    Args:
        patience: in how many reports in a row its sign must stand before it speaks.
        again: the factor by which the measure must move before it speaks again.
        sign: what it sees in a report, given the course before it; None if nothing.
        say: what is seen, and what to do about it, in plain words with numbers.
    """

    name: str
    patience: int
    sign: Callable[[Course, Reported], Sign | None]
    say: Callable[[Streak, Sign], tuple[str, str]]
    again: float = 10.0


def for_reports(count: int) -> str:
    """Return `for 5 reports`; nothing for one."""
    return f" for {count} reports" if count > 1 else ""


def times(factor: float) -> str:
    """Return a factor as people say it: `30`, `2,000`, `1e8`."""
    rounded = float(f"{factor:.1g}")
    return f"{rounded:,.0f}" if 1 <= rounded < 1e6 else short(rounded)


def short(number: Number, digits: int = 1) -> str:
    """Return a number in a few digits: `3e-5`, `0.8`."""
    if not isinstance(number, float | int):
        return "none"
    return re.sub(r"e([+-])0*", lambda m: "e-" if m[1] == "-" else "e", f"{number:.{digits}g}")
