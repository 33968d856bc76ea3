"""Guesses slowed down: a bucket of wrong tokens for each address."""

from __future__ import annotations

from collections.abc import Callable

_MOST = 10_000


class Throttle:
    """Counts failures by address; time is a clock that never jumps, in seconds.

    Guarantees: an address fails at most `burst` times at once, and once in `refill_s` after that;
    at most `_MOST` addresses are remembered, the longest silent forgotten first.
    """

    def __init__(self, burst: int, refill_s: float, monotonic: Callable[[], float]) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._now = monotonic
        self._full_at: dict[str, float] = {}

    def wait(self, address: str) -> float:
        """Return the seconds until this address may try again, 0 if it may now."""
        over = self._full_at.get(address, 0.0) - self._now() - self._refill_s * (self._burst - 1)
        return max(0.0, over)

    def fail(self, address: str) -> None:
        """Note a wrong token."""
        now = self._now()
        full_at = max(self._full_at.pop(address, now), now) + self._refill_s
        if len(self._full_at) >= _MOST:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[address] = full_at
