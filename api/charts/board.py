"""The studies as a board shows them: in the queue's order, each with how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from api import queue
from api.charts.numbers import spread
from api.charts.progress import eta, improvements, in_order, staircase
from tuner.decision import Outcome
from tuner.remark import Remark
from tuner.study import Study
from tuner.trial import StudyState, Trial, TrialState
from tuner.wire.charts import BoardRow

MOST_STEPS = 24
_PLACES = {StudyState.RUNNING: 0, StudyState.QUEUED: 1, StudyState.PAUSED: 2}
_WHY = (
    "of higher priority",
    "of projects that run fewer trials",
    "submitted earlier",
    "submitted earlier",
)
"""Why a study stands before another, by the place of `queue.rank` in which they differ first."""


def place(study: Study, running_by_project: Mapping[str, int]) -> tuple[float, ...]:
    """Return what sorts the board: the running, the queued as the queue has them, the rest."""
    group = _PLACES.get(study.state, 3)
    if group == 3:
        ended = study.ended_at or study.created_at
        return (group, -ended.timestamp())
    return (group, *queue.rank(study, running_by_project))


def waits(study: Study, open_studies: Sequence[Study], running_by_project: Counter[str]) -> str:
    """Say behind how many of the studies that may start trials one waits, and why."""
    if study.spec.run == "external":
        return "its own loop has asked for no trial yet"
    mine = queue.rank(study, running_by_project)
    found = Counter(
        _WHY[next(k for k, pair in enumerate(zip(other, mine, strict=True)) if pair[0] != pair[1])]
        for s in open_studies
        if (other := queue.rank(s, running_by_project)) < mine
    )
    if not found:
        return "next in line for a free slot"
    parts = [f"{found[why]} {why}" for why in dict.fromkeys(_WHY) if found[why]]
    return f"waits behind {', '.join(parts)}"


def row(
    study: Study,
    trials: Sequence[Trial],
    remark: Remark,
    *,
    rank: int,
    note: str,
    now: datetime,
) -> BoardRow:
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
        tags=list(remark.tags),
        pinned=remark.pinned,
    )
