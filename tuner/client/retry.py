"""When a request is sent again, and after which pause. Pure: time and randomness are arguments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client goes on trying. All in seconds.

    Args:
        total: no further try starts after this time; 0 means one try.
        first: the pause before the second try, doubled before each further one.
        longest: the longest pause, the server's own `Retry-After` excepted.
    """

    total: float = 30.0
    first: float = 0.2
    longest: float = 5.0

    def pause(
        self, *, tries: int, elapsed: float, jitter: float, asked: float | None
    ) -> float | None:
        """Return the seconds to wait before the next try, None to give up.

        Args:
            tries: tries made so far, from 1.
            elapsed: seconds since the first try began.
            jitter: a random number in [0, 1); the pause is 50 to 100 % of its full length.
            asked: the server's `Retry-After`; the pause is never shorter, and up to half longer, so
                that clients who were told the same do not come back all at once.
        """
        full = min(self.longest, self.first * 2 ** min(tries - 1, 30))
        wait = max(full * (0.5 + jitter / 2), (asked or 0.0) * (1 + jitter / 2))
        return wait if elapsed + wait <= self.total else None
