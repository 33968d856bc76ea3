"""Quantiles of all ended trials, step by step, counted once."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from api.charts.numbers import short, spread
from tuner.trial import Trial, TrialState
from tuner.wire.charts import Band

QUANTILES = {"5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95}
MOST_STEPS = 200
_STUDIES = 32


@dataclass
class _Seen:
    """What is counted of one study: the values at each step, of the trials taken in."""

    taken: set[int] = field(default_factory=set)
    values: dict[int, array[float]] = field(default_factory=dict)
    band: Band | None = None


class Bands:
    """The bands of the studies looked at last. An ended trial is read once: its curve stays.

    Not safe for threads: its owner calls it from one at a time.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def forget(self, study_id: int) -> None:
        """Drop what is known of a study."""
        self._seen.pop(study_id, None)

    def of(self, study_id: int, trials: Sequence[Trial]) -> Band:
        """Return the band of a study's ended trials."""
        seen = self._seen.pop(study_id, None) or _Seen()
        self._seen[study_id] = seen
        while len(self._seen) > _STUDIES:
            self._seen.pop(next(iter(self._seen)))
        new = [t for t in trials if t.state is TrialState.ENDED and t.number not in seen.taken]
        for trial in new:
            seen.taken.add(trial.number)
            for step, value, *_ in trial.reports:
                if math.isfinite(value):
                    seen.values.setdefault(step, array("d")).append(value)
        if new or seen.band is None:
            seen.band = _band(seen.values)
        return seen.band


def _band(values: dict[int, array[float]]) -> Band:
    steps = spread(sorted(values), MOST_STEPS)
    cuts = [
        np.quantile(np.frombuffer(values[step]), list(QUANTILES.values())).tolist()
        for step in steps
    ]
    return Band(
        step=list(steps),
        n=[len(values[step]) for step in steps],
        q={name: [short(cut[k]) for cut in cuts] for k, name in enumerate(QUANTILES)},
    )
