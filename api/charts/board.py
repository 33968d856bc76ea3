"""The studies as a board shows them: in the queue's order, each with how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from api.charts.numbers import spread
from api.charts.progress import eta, improvements, in_order, staircase
from tuner.decision import Outcome
from tuner.study import Study
from tuner.trial import StudyState, Trial, TrialState
from tuner.wire.charts import BoardRow

MOST_STEPS = 24
_PLACES = {StudyState.RUNNING: 0, StudyState.QUEUED: 1, StudyState.PAUSED: 2}


def place(study: Study) -> tuple[int, int, float]:
    """Return what sorts the board: the running, the queued as the queue has them, the rest."""
    group = _PLACES.get(study.state, 3)
    if group == 3:
        ended = study.ended_at or study.created_at
        return (group, 0, -ended.timestamp())
    return (group, -study.spec.queue.priority, study.created_at.timestamp())


def waits(ahead: int) -> str:
    """Say why a study waits that a worker could serve."""
    return f"waits behind {ahead} {'study' if ahead == 1 else 'studies'}" if ahead else ""


def row(study: Study, trials: Sequence[Trial], *, rank: int, note: str, now: datetime) -> BoardRow:
    """Show one study; `rank` is its place on the board."""
    search = [t for t in trials if t.searches]
    spark = staircase(spread(improvements(study, in_order(search)), MOST_STEPS))
    return BoardRow(
        id=study.study_id,
        name=study.name,
        rank=rank,
        state=study.state,
        stopping=study.stopping,
        ended_why=study.ended_why,
        note=note,
        project=study.spec.queue.project,
        owner=study.created_by,
        priority=study.spec.queue.priority,
        metric=study.spec.objective.metric,
        mode=study.spec.objective.mode,
        created=study.created_at,
        budget=study.spec.budget.trials,
        started=len(search),
        ended=sum(t.state is TrialState.ENDED for t in search),
        running=sum(t.state is TrialState.RUNNING for t in trials),
        failed=sum(t.outcome in (Outcome.FAILED, Outcome.OOM) for t in search),
        best=spark.value[-1] if spark.value else None,
        spark=spark,
        eta_s=eta(study, search, now),
    )
