"""Log lines of which a stranger can cause any number: few are written, the others counted."""

from __future__ import annotations

from collections.abc import Callable


class Sparing:
    """Lets a number of lines through at once, then one every so many seconds.

    Args:
        at_once: lines that are let through at once.
        every_s: seconds that bring one more.
        monotonic: a clock, in seconds.
    """

    def __init__(self, at_once: int, every_s: float, monotonic: Callable[[], float]) -> None:
        self._most = float(at_once)
        self._every_s = every_s
        self._monotonic = monotonic
        self._may, self._at = self._most, monotonic()
        self._left_out = 0

    def take(self) -> int | None:
        """Return how many lines were left out since the last; None to leave this one out, too."""
        now = self._monotonic()
        self._may = min(self._most, self._may + (now - self._at) / self._every_s)
        self._at = now
        if self._may < 1:
            self._left_out += 1
            return None
        self._may -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out
