"""The time of day as the server follows it: it may be set while a study runs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from api import lifecycle
from storage.ledger import Ledger
from storage.transaction import Transaction
from tuner.study import Study

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
        self._started: frozenset[int] = frozenset()

    async def follow(self, ledger: Ledger, now: datetime, monotonic: float) -> None:
        """Look at both clocks: the time of day, and seconds that never jump.

        Raises:
            Unavailable: the database is away; the next look makes up for it.
        """
        running = [s for s in ledger.memory.studies() if s.started_at is not None and not s.is_over]
        if self._last is not None:
            then, passed = self._last[0], timedelta(seconds=monotonic - self._last[1])
            moved = now - then - passed
            if abs(moved) >= _LEAST:
                _log.warning("the time of day was set by %+.0f s", moved.total_seconds())
                before = [s.study_id for s in running if self._began_before(s, then, passed)]
                await ledger.write(partial(_move, before, moved))
        self._last = (now, monotonic)
        self._started = frozenset(s.study_id for s in running)

    def _began_before(self, study: Study, then: datetime, passed: timedelta) -> bool:
        """Tell whether a study's start was taken before the clock was set, since `then`."""
        if study.study_id in self._started:
            return True
        return study.started_at is not None and then <= study.started_at <= then + passed


def _move(study_ids: Iterable[int], moved: timedelta, tx: Transaction) -> None:
    for study_id in study_ids:
        lifecycle.move_start(tx, study_id, moved)
