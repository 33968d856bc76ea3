"""The board: all studies a caller may see, in the queue's order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from api import queue
from api.charts.board import place, row, waits
from api.listing import Order, cut
from api.services import Services
from api.studies import why_idle
from tuner.access import Identity
from tuner.study import Study
from tuner.trial import StudyState, Worker
from tuner.wire.charts import Board


async def page(services: Services, who: Identity, *, limit: int, cursor: str | None) -> Board:
    """Show a page of the board.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    memory, now = services.ledger.memory, services.clock()
    by_project = Counter(
        memory.study(lease.study_id).spec.queue.project for lease in memory.leases()
    )
    studies = sorted(memory.studies(), key=lambda s: place(s, by_project))
    ranks = {study.study_id: rank for rank, study in enumerate(studies, start=1)}
    seen = [s for s in studies if who.sees(s.spec.queue.project)]
    order: Order[Study] = Order(value=lambda s: ranks[s.study_id], ident=lambda s: s.study_id)
    items, more = cut(seen, order, ("board",), limit=limit, cursor=cursor)
    notes = _notes(services, studies, items, by_project)
    found = [(s, memory.trials(s.study_id), memory.remark(s.study_id)) for s in items]

    def rows() -> Board:
        made = [
            row(s, trials, remark, rank=ranks[s.study_id], note=notes[s.study_id], now=now)
            for s, trials, remark in found
        ]
        return Board(items=made, next_cursor=more)

    return await asyncio.to_thread(rows)


def _notes(
    services: Services, studies: Sequence[Study], items: Sequence[Study], by_project: Counter[str]
) -> dict[int, str]:
    """Say of each study why no trial of it starts, where none does."""
    memory = services.ledger.memory
    running = Counter(lease.study_id for lease in memory.leases())
    alive: list[Worker] = [w for w in memory.workers() if services.deadlines.is_alive(w)]
    competing = [
        s
        for s in studies
        if s.spec.run != "external" and queue.is_open(s) and not queue.is_full(s, running)
    ]

    def note(study: Study) -> str:
        said = why_idle(study, alive)
        if said or study.state is not StudyState.QUEUED:
            return said
        return waits(study, competing, by_project)

    return {s.study_id: note(s) for s in items}
