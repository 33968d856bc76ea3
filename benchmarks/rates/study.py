"""The studies that are measured, and the values their trials report."""

from __future__ import annotations

import time
from typing import Any

STEPS = 10
LONGEST = 10_000
"""More than a trial reports, so that its finish ends it and not its last report."""

METRIC = "loss"
PROGRAM = "load.generator:main"
MOST_TRIALS = 1_000_000
_FALL = 1e-6
"""How much later values are better, per second: between 1e-6 and 1 for years."""


def document(name: str, *, sampler: str = "random", trials: int = MOST_TRIALS) -> dict[str, Any]:
    """Return a study of the five default parameters, judged by the median, without other rules."""
    return {
        "name": name,
        "objective": {"metric": METRIC, "mode": "min"},
        "sampler": {"name": sampler, "seed": 0},
        "pruner": {"name": "median"},
        "policies": [],
        "budget": {"trials": trials, "steps": LONGEST, "parallel": 100_000},
        "run": {"entrypoint": PROGRAM},
    }


def value(step: int) -> float:
    """Return what a trial reports now: falls with the step, and with the time of this machine.

    What was reported later is better than all that was reported earlier at its step, in every
    process. So the median pruner compares at each report and stops no trial, and each trial has
    all its reports, here and at the peers.
    """
    return 1.0 / step - _FALL * time.monotonic()
