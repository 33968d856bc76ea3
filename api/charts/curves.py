"""Which trials' curves are drawn as lines, with how many points."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from api.charts.band import Bands
from api.charts.numbers import column, short
from tuner.study import Study
from tuner.trial import Report, Trial, TrialState
from tuner.wire.charts import Curve, Curves

MOST_POINTS = 400
MOST_RUNNING = 64
MOST_CHOSEN = 20


def curves(
    study: Study, trials: Sequence[Trial], bands: Bands, *, top: int, chosen: Collection[int]
) -> Curves:
    """Show the best `top` trials, the running and the chosen ones, and a band of those that ended.

    `bands` keeps what was counted before.
    """
    drawn = [t for t in trials if t.reports]
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    valued = [t for t in drawn if t.value is not None and math.isfinite(t.value)]
    best = sorted(valued, key=lambda t: (sign * (t.value or 0.0), t.number))[:top]
    running = [t for t in drawn if t.state is TrialState.RUNNING][-MOST_RUNNING:]
    named = [t for t in drawn if t.number in chosen][:MOST_CHOSEN]
    shown = {t.number: t for t in (*best, *running, *named)}
    return Curves(
        total=len(drawn),
        shown=len(shown),
        curves=[curve(shown[number]) for number in sorted(shown)],
        band=bands.of(study.study_id, trials) if len(drawn) > len(shown) else None,
    )


def curve(trial: Trial) -> Curve:
    """Show one trial's curve."""
    kept = thin(trial.reports, MOST_POINTS)
    return Curve(
        number=trial.number,
        state=trial.state,
        outcome=trial.outcome,
        origin=trial.origin,
        attempt=trial.attempt,
        step=[r.step for r in kept],
        value=column(r.value for r in kept),
        lr_factor=[short(r.lr_factor) for r in kept],
        thinned=len(kept) < len(trial.reports),
    )


def thin(reports: Sequence[Report], most: int) -> Sequence[Report]:
    """Return about `most` reports that keep a curve's shape.

    Of each stretch the first, the last, the smallest, the largest and any that is not finite; and
    each report where the rate changed.
    """
    if len(reports) <= most:
        return reports
    stretch = max(1, math.ceil(len(reports) * 4 / most))
    kept: set[int] = set()
    for begin in range(0, len(reports), stretch):
        part = range(begin, min(begin + stretch, len(reports)))
        finite = [i for i in part if math.isfinite(reports[i].value)]
        kept |= {part[0], part[-1]}
        if len(finite) < len(part):
            kept.add(next(i for i in part if not math.isfinite(reports[i].value)))
        if finite:
            kept.add(min(finite, key=lambda i: reports[i].value))
            kept.add(max(finite, key=lambda i: reports[i].value))
    kept |= {i for i in range(1, len(reports)) if reports[i].lr_factor != reports[i - 1].lr_factor}
    return [reports[i] for i in sorted(kept)]
