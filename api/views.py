"""How studies and trials are shown: domain values in, messages out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from api import drift, finalists, versions
from tuner.decision import Outcome
from tuner.policies import control
from tuner.remark import Remark
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import Event, Origin, Report, Trial, TrialState
from tuner.wire import (
    BestView,
    EventView,
    FinalistView,
    HalvingWorth,
    RatePoint,
    StudyView,
    TrialView,
)

MEASURED = frozenset({Outcome.COMPLETE, Outcome.CONVERGED})
_CUT_SHORT = frozenset({Outcome.PRUNED, Outcome.CONVERGED, Outcome.DIVERGED})


def document(spec: StudySpec) -> dict[str, Any]:
    """Return a study document as JSON values, without what is absent."""
    return spec.model_dump(mode="json", exclude_none=True)


def study_view(
    study: Study,
    trials: Sequence[Trial],
    remark: Remark,
    *,
    note: str,
    warnings: Sequence[str] = (),
) -> StudyView:
    """Show a study with its counts, its best trials and what people noted on it."""
    rows = finalists.summary(study, trials)
    return StudyView(
        id=study.study_id,
        name=study.name,
        version=versions.version(study),
        state=study.state,
        stopping=study.stopping,
        ended_why=study.ended_why,
        note=note,
        warnings=list(warnings),
        spec=document(study.spec),
        created_at=study.created_at,
        started_at=study.started_at,
        ended_at=study.ended_at,
        counts=counts(trials),
        adopted=sum(t.origin is Origin.ADOPTED for t in trials),
        steps_done=sum(t.last_step for t in trials),
        steps_saved=steps_saved(study.spec.budget.steps, trials),
        halvings=sum(t.halvings for t in trials),
        halving_worth=halving_worth(study, trials),
        best=best(study, trials, rows),
        best_folk=best_folk(study, trials),
        finalists=[finalist_view(study, row) for row in rows],
        drift=drift.verdict(study, trials),
        remark=remark.text,
        tags=list(remark.tags),
        pinned=remark.pinned,
    )


def halving_worth(study: Study, trials: Sequence[Trial]) -> HalvingWorth | None:
    """Show what halving was worth, None for a study without controls."""
    if (found := control.worth(study, trials)) is None:
        return None
    mean = found.mean
    return HalvingWorth(
        pairs=mean.n if mean else 0,
        better=found.better,
        open=found.open,
        mean=mean.value if mean else None,
        low=mean.low if mean else None,
        high=mean.high if mean else None,
        text=control.sentence(found, study.spec.objective.metric),
    )


def counts(trials: Sequence[Trial]) -> dict[str, int]:
    """Count trials: the waiting, the running, and the ended by outcome."""
    found: Counter[str] = Counter(t.outcome or t.state for t in trials)
    return {str(name): found[name] for name in (TrialState.WAITING, TrialState.RUNNING, *Outcome)}


def steps_saved(steps: int | None, trials: Sequence[Trial]) -> int:
    """Count the steps that trials ended by policy did not train."""
    if steps is None:
        return 0
    return sum(max(0, steps - t.last_step) for t in trials if t.outcome in _CUT_SHORT)


def schedule(reports: Sequence[Report]) -> list[RatePoint]:
    """Return the rate as it really ran: where training started, and where the level changed."""
    points: list[RatePoint] = []
    before = 0
    for report in reports:
        if not points or report.lr_factor != points[-1].lr_factor:
            points.append(RatePoint(step=before, lr_factor=report.lr_factor))
        before = report.step
    return points


def ranked(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that trained to their end, best value first, earlier before later."""
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    measured = [(t.value, t) for t in trials if t.outcome in MEASURED and t.value is not None]
    return [t for _, t in sorted(measured, key=lambda pair: (sign * pair[0], pair[1].number))]


def best(
    study: Study, trials: Sequence[Trial], rows: Sequence[finalists.Finalist] | None = None
) -> BestView | None:
    """Show the best trial: by the mean over fresh seeds once there are finalists, else by value.

    `rows` are the finalists, best first, where they are known already.
    """
    for row in finalists.summary(study, trials) if rows is None else rows:
        view = best_view(study, next(t for t in trials if t.number == row.source))
        over = finalist_view(study, row)
        return view.model_copy(
            update={
                **{key: getattr(over, key) for key in ("mean", "std", "low", "high", "luck")},
                "seeds": row.n,
            }
        )
    search = [t for t in trials if t.searches]
    found = ranked(study, search)
    return best_view(study, found[0]) if found else None


def finalist_view(study: Study, row: finalists.Finalist) -> FinalistView:
    """Show what came out of a configuration's runs on fresh seeds."""
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    return FinalistView(
        number=row.source,
        first=row.first,
        mean=row.mean,
        std=row.std,
        low=row.low,
        high=row.high,
        n=row.n,
        worst=row.worst,
        luck=sign * (row.mean - row.first),
    )


def best_folk(study: Study, trials: Sequence[Trial]) -> BestView | None:
    """Show the best of the rules of thumb."""
    found = ranked(study, [t for t in trials if t.origin is Origin.FOLK])
    return best_view(study, found[0]) if found else None


def best_view(study: Study, trial: Trial) -> BestView:
    """Show a trial that has a value."""
    assert trial.value is not None
    assert trial.outcome is not None
    return BestView(
        number=trial.number,
        value=trial.value,
        step=value_step(study, trial),
        params=dict(trial.params),
        schedule=schedule(trial.reports),
        outcome=trial.outcome,
        origin=trial.origin,
    )


def value_step(study: Study, trial: Trial) -> int:
    """Return the step whose report gave the value: the first that equals it, else the last."""
    if study.spec.objective.value == "best":
        for report in trial.reports:
            if report.value == trial.value:
                return report.step
    return trial.last_step


def trial_view(trial: Trial, remark: Remark) -> TrialView:
    """Show a trial without its curve, with what people noted on it."""
    return TrialView(**trial_fields(trial, remark))


def trial_fields(trial: Trial, remark: Remark) -> dict[str, Any]:
    """Return the fields of a `TrialView`."""
    last = trial.reports[-1].value if trial.reports else None
    return {
        "number": trial.number,
        "state": trial.state,
        "outcome": trial.outcome,
        "reason": trial.reason,
        "origin": trial.origin,
        "params": dict(trial.params),
        "value": finite(trial.value),
        "last_value": finite(last),
        "last_step": trial.last_step,
        "lr_factor": trial.lr_factor,
        "attempt": trial.attempt,
        "failures": trial.failures,
        "seed": trial.seed,
        "worker_id": trial.lease.worker_id if trial.lease else None,
        "created_at": trial.created_at,
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "remark": remark.text,
        "tags": list(remark.tags),
    }


def event_view(event: Event) -> EventView:
    """Show a stored event."""
    assert event.seq is not None
    return EventView(
        seq=event.seq,
        kind=event.kind,
        at=event.at,
        study_id=event.study_id,
        number=event.number,
        attempt=event.attempt,
        step=event.step,
        data=_json(event.data),
    )


def finite(value: float | None) -> float | None:
    """Return a number JSON can carry, None for the others."""
    return value if value is not None and math.isfinite(value) else None


def _json(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: finite(v) if isinstance(v, float) else v for k, v in data.items()}


def elapsed_hours(study: Study, now: datetime) -> float:
    """Return the hours since a study started, 0 before."""
    return 0.0 if study.started_at is None else (now - study.started_at).total_seconds() / 3600
