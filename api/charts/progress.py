"""How a search went: its trials in order of their ends, and the best value so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from api.charts.numbers import short, spread
from api.views import MEASURED, best_folk, steps_saved
from tuner.study import Study
from tuner.trial import Trial, TrialState
from tuner.wire.charts import Crew, Progress, Staircase

MOST_POINTS = 1000
_PACE_TRIALS = 30
"""The last trials, whose pace tells when the budget is used up."""
_DOUBT = 1.5
"""How much slower than its present pace a search may turn out."""


class Point(NamedTuple):
    """A trial that has ended: the `n`-th, when `steps` were trained in all."""

    trial: Trial
    n: int
    steps: int


def progress(
    study: Study, trials: Sequence[Trial], now: datetime, crew: Crew | None = None
) -> Progress:
    """Show how the search went. Fresh-seed runs of finalists are no part of it."""
    search = [t for t in trials if t.searches]
    points = in_order(search)
    improved = improvements(study, points)
    valued = [p for p in points if p.trial.value is not None and math.isfinite(p.trial.value)]
    kept = _thinned(valued, improved)
    folk = best_folk(study, search)
    last = improved[-1] if improved else None
    ended_at = last.trial.ended_at if last else None
    return Progress(
        total=len(valued),
        shown=len(kept),
        points=_columns(kept),
        best=staircase(improved),
        folk=None if folk is None else folk.value,
        epochs=sum(t.last_step for t in search),
        steps_saved=steps_saved(study.spec.budget.steps, search),
        since_best_trials=None if last is None else len(points) - last.n,
        since_best_s=None if ended_at is None else (now - ended_at).total_seconds(),
        eta_s=eta(study, search, now),
        crew=crew or Crew(),
    )


def eta(study: Study, search: Sequence[Trial], now: datetime) -> tuple[float, float] | None:
    """Return the seconds until the budget is used up, from the present pace to a slower one.

    None if nothing runs, or too little has ended to tell.
    """
    open_trials = sum(t.state is not TrialState.ENDED for t in search)
    left = max(0, study.spec.budget.trials - len(search)) + open_trials
    ends = sorted(t.ended_at for t in search if t.ended_at is not None)[-_PACE_TRIALS:]
    runs = any(t.state is TrialState.RUNNING for t in search)
    if study.is_over or not runs or not left or len(ends) < 2 or study.started_at is None:
        return None
    begin = ends[0] if len(ends) == _PACE_TRIALS else study.started_at
    counted = len(ends) - 1 if len(ends) == _PACE_TRIALS else len(ends)
    pace = max((now - begin).total_seconds(), 1e-3) / counted
    low, high = pace * left / _DOUBT, pace * left * _DOUBT
    if (hours := study.spec.budget.hours) is not None:
        most = max(0.0, hours * 3600 - (now - study.started_at).total_seconds())
        low, high = min(low, most), min(high, most)
    return low, high


def in_order(search: Sequence[Trial]) -> list[Point]:
    """Return the trials that have ended, in order of their ends."""
    ended = [(t.ended_at, t.number, t) for t in search if t.ended_at is not None]
    found, steps = [], 0
    for n, (_, _, trial) in enumerate(sorted(ended, key=lambda e: e[:2]), start=1):
        steps += trial.last_step
        found.append(Point(trial, n, steps))
    return found


def improvements(study: Study, points: Sequence[Point]) -> list[Point]:
    """Return where the best value got better. Trials that were cut short do not count."""
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    found: list[Point] = []
    best = math.inf
    for point in points:
        value = point.trial.value
        if value is None or point.trial.outcome not in MEASURED or not math.isfinite(value):
            continue
        if sign * value < best:
            best = sign * value
            found.append(point)
    return found


def _thinned(points: Sequence[Point], improved: Sequence[Point]) -> list[Point]:
    """Return a bounded number of points, those that improved on the best among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    must = spread(improved, MOST_POINTS // 2)
    kept = {p.n: p for p in (*must, *spread(points, MOST_POINTS - len(must)))}
    return [kept[n] for n in sorted(kept)]


def _columns(points: Sequence[Point]) -> dict[str, list[object]]:
    return {
        "number": [p.trial.number for p in points],
        "n": [p.n for p in points],
        "steps": [p.steps for p in points],
        "value": [short(p.trial.value or 0.0) for p in points],
        "outcome": [p.trial.outcome for p in points],
        "origin": [p.trial.origin for p in points],
    }


def staircase(improved: Sequence[Point]) -> Staircase:
    """Show where the best value got better."""
    return Staircase(
        number=[p.trial.number for p in improved],
        n=[p.n for p in improved],
        steps=[p.steps for p in improved],
        value=[short(p.trial.value or 0.0) for p in improved],
    )
