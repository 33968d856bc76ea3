"""Whether the server answers, as the worker's requests find out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from tuner.errors import TunerError

_LOG = logging.getLogger("tuner.worker")


class Link:
    """Keeps since when the server has been away, and logs when that changes.

    Args:
        url: for the log.
        clock: monotonic seconds.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._since: float | None = None
        self.on_away: Callable[[], None] = lambda: None
        self._back = asyncio.Event()

    @property
    def away(self) -> bool:
        """Whether the last request failed to be answered."""
        return self._since is not None

    @property
    def away_for(self) -> float:
        """Seconds since the server was first missed, 0 while it answers."""
        return 0.0 if self._since is None else self._clock() - self._since

    def failed(self, problem: TunerError) -> None:
        """Note that a request was not answered, or that the server can't answer now."""
        if self._since is None:
            self._since = self._clock()
            _LOG.warning("server away: %s (%s)", self._url, problem.detail)
            self._back.clear()
            self.on_away()

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until another request finds the server back."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._back.wait(), seconds)

    def answered(self) -> None:
        """Note that the server answered."""
        if self._since is not None:
            _LOG.warning("server back after %.1f s", self.away_for)
            self._since = None
            self._back.set()
