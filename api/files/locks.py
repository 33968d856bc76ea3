"""One at a time for each trial: what counts a file reads which there are, and decides on it."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from tuner.trial import Trial


class TrialLocks:
    """Locks by trial. One nobody holds or waits for is forgotten."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def of(self, trial: Trial) -> asyncio.Lock:
        """Return a trial's lock."""
        lock = self._locks.get(trial.trial_id)
        if lock is None:
            lock = self._locks[trial.trial_id] = asyncio.Lock()
        return lock
