"""The board: all studies a caller may see, in the queue's order."""

from __future__ import annotations

from api.charts.board import place, row, waits
from api.listing import Order, cut
from api.services import Services
from api.studies import why_idle
from tuner.access import Identity
from tuner.study import Study
from tuner.trial import StudyState
from tuner.wire.charts import Board


def page(services: Services, who: Identity, *, limit: int, cursor: str | None) -> Board:
    """Show a page of the board.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    memory, now = services.ledger.memory, services.clock()
    studies = sorted(memory.studies(), key=place)
    ranks = {study.study_id: rank for rank, study in enumerate(studies, start=1)}
    alive = [w for w in memory.workers() if services.deadlines.is_alive(w)]
    seen = [s for s in studies if who.sees(s.spec.queue.project)]
    order: Order[Study] = Order(value=lambda s: ranks[s.study_id], ident=lambda s: s.study_id)
    items, more = cut(seen, order, ("board",), limit=limit, cursor=cursor)

    def note(study: Study) -> str:
        said = why_idle(study, alive)
        if said or study.state is not StudyState.QUEUED:
            return said
        return waits(ranks[study.study_id] - 1)

    rows = [
        row(
            s,
            memory.trials(s.study_id),
            memory.remark(s.study_id),
            rank=ranks[s.study_id],
            note=note(s),
            now=now,
        )
        for s in items
    ]
    return Board(items=rows, next_cursor=more)
