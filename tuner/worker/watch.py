"""What can end a running trial from outside: a lost lease, leaving, no progress, its memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Literal

Why = Literal["lost", "left", "hung", "memory"]


class Watch:
    """Waits for the first reason to kill a trial.

    Args:
        progress_timeout: seconds without progress after which it is killed.
    """

    def __init__(self, progress_timeout: float) -> None:
        self._timeout = progress_timeout
        self._changed = asyncio.Event()
        self._progress_at = time.monotonic()
        self._leave_by: float | None = None
        self.is_lost = False
        self._excess = False

    @property
    def leaves(self) -> bool:
        """Whether the trial was asked to leave."""
        return self._leave_by is not None

    def progress(self) -> None:
        """Note that the trial came on."""
        self._progress_at = time.monotonic()

    def leave(self, grace: float) -> None:
        """Give the trial so many seconds to leave."""
        self._leave_by = time.monotonic() + grace
        self._changed.set()

    def lost(self) -> None:
        """Note that the lease is gone."""
        self.is_lost = True
        self._changed.set()

    def exceeded(self) -> None:
        """Note that the trial uses too much memory."""
        self._excess = True
        self._changed.set()

    async def wait(self) -> Why:
        """Return why the trial is to be killed, as soon as it is."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            if self.is_lost:
                return "lost"
            if self._excess:
                return "memory"
            hung_at = self._progress_at + self._timeout
            if now >= hung_at:
                return "hung"
            if self._leave_by is not None and now >= self._leave_by:
                return "left"
            until = hung_at if self._leave_by is None else min(hung_at, self._leave_by)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), until - now)
