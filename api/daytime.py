"""The time of day as the server follows it: it may be set while a study runs."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial

from api import lifecycle
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
        self._running: frozenset[int] = frozenset()

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
        studies = ledger.memory.studies()
        self._running = frozenset(
            s.study_id for s in studies if s.started_at is not None and not s.is_over
        )


def _move(
    tx: Transaction,
    known: Collection[int],
    began: tuple[datetime, datetime],
    by: timedelta,
) -> None:
    """Move the starts of studies that ran when the clock was set: those known, and those since."""
    for study in tx.studies():
        since = study.started_at is not None and began[0] <= study.started_at <= began[1]
        if since or study.study_id in known:
            lifecycle.move_start(tx, study.study_id, by)
