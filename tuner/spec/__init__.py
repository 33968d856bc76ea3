"""The study document: what a user submits, strictly read from JSON or YAML."""

from tuner.spec.command import RunCommand
from tuner.spec.models import (
    Budget,
    Objective,
    Queue,
    Repeats,
    Retry,
    Run,
    RunEntrypoint,
    RunTask,
    Sampler,
    StudySpec,
)
from tuner.spec.read import check, load, parse_json, parse_yaml
from tuner.spec.steering import (
    AshaPruner,
    Divergence,
    HalveOnPlateau,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    PercentilePruner,
    Policy,
    Pruner,
    RateChange,
    RateSchedule,
)

__all__ = [
    "AshaPruner",
    "Budget",
    "Divergence",
    "HalveOnPlateau",
    "HyperbandPruner",
    "MedianPruner",
    "NoPruner",
    "Objective",
    "PercentilePruner",
    "Policy",
    "Pruner",
    "Queue",
    "RateChange",
    "RateSchedule",
    "Repeats",
    "Retry",
    "Run",
    "RunCommand",
    "RunEntrypoint",
    "RunTask",
    "Sampler",
    "StudySpec",
    "check",
    "load",
    "parse_json",
    "parse_yaml",
]
