"""The time of day as the server follows it: it may be set while a study runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from storage.ledger import Ledger
from storage.transaction import Transaction

_LEAST = timedelta(seconds=1)
"""What the two clocks may drift apart between two looks without one of them having been set."""

_log = logging.getLogger(__name__)


class DayTime:
    """Keeps the hours of running studies apart from the time of day.

    Guarantees: a clock that is set, forwards or backwards, neither uses up nor gives back hours of
    a study that runs; nor does the time the machine slept. The starts of running studies are moved
    along with the clock, and stored.
    """

    def __init__(self) -> None:
        self._last: tuple[datetime, float] | None = None
        self._running: Mapping[int, datetime] = {}

    async def follow(self, ledger: Ledger, now: datetime, monotonic: float) -> None:
        """Look at both clocks: the time of day, and seconds that never jump.

        Raises:
            Unavailable: the database is away; the next look makes up for it.
        """
        if self._last is not None:
            then, passed = self._last[0], timedelta(seconds=monotonic - self._last[1])
            moved = now - then - passed
            if abs(moved) >= _LEAST:
                _log.warning("the time of day was set by %+.0f s", moved.total_seconds())
                # A start is stored a little after its time was taken, so maybe after the last look.
                before = then - abs(moved) / 2, then + passed
                await ledger.write(partial(_move, known=self._running, began=before, by=moved))
        self._last = (now, monotonic)
        self._running = {
            s.study_id: s.started_at
            for s in ledger.memory.studies()
            if s.started_at is not None and not s.is_over
        }


def _move(
    tx: Transaction,
    known: Mapping[int, datetime],
    began: tuple[datetime, datetime],
    by: timedelta,
) -> None:
    """Move the starts of studies that ran when the clock was set: those known, and those since.

    A second time it changes nothing: the first one's outcome may be unknown.
    """
    for study in tx.studies():
        start = known.get(study.study_id, study.started_at)
        if start is None or study.is_over:
            continue
        if study.study_id in known or began[0] <= start <= began[1]:
            tx.put_study(study.evolve(started_at=start + by))
