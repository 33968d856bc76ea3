"""The trials of a study as columns: what tables and plots of many trials read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from api.charts.numbers import column, short
from tuner.handle import ParamValue
from tuner.study import Study
from tuner.trial import Trial
from tuner.wire.charts import Columns

MOST_ROWS = 20_000


def columns(
    study: Study,
    trials: Sequence[Trial],
    tags: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> Columns:
    """Show the newest `MOST_ROWS` trials as columns, oldest first. Times are seconds since 1970."""
    kept = trials[-MOST_ROWS:]
    found: dict[str, list[Any]] = {
        "number": [t.number for t in kept],
        "state": [t.state for t in kept],
        "outcome": [t.outcome for t in kept],
        "origin": [t.origin for t in kept],
        "value": column(t.value for t in kept),
        "last_value": column(t.reports[-1].value if t.reports else None for t in kept),
        "min_value": column(_extreme(t, min) for t in kept),
        "max_value": column(_extreme(t, max) for t in kept),
        "last_step": [t.last_step for t in kept],
        "lr_factor": [short(t.lr_factor) for t in kept],
        "halvings": [t.halvings for t in kept],
        "attempt": [t.attempt for t in kept],
        "failures": [t.failures for t in kept],
        "started": [_seconds(t.started_at) for t in kept],
        "ended": [_seconds(t.ended_at) for t in kept],
        "tags": [", ".join(tags.get(t.number, ())) for t in kept],
    }
    params = {name: [_shown(t.params.get(name)) for t in kept] for name in study.space.parameters}
    return Columns(total=len(trials), rows=len(kept), columns=found, params=params)


def _extreme(trial: Trial, which: Any) -> float | None:
    values: Iterable[float] = (r.value for r in trial.reports if abs(r.value) < float("inf"))
    found: float | None = which(values, default=None)
    return found


def _shown(value: ParamValue | None) -> ParamValue | None:
    return short(value) if isinstance(value, float) else value


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else round(at.timestamp(), 3)
