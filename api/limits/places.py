"""Places for what lasts: long polls and event streams, so many for each caller and in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tuner.errors import TooMany


class Places:
    """A number of places, and how many of them one caller may hold. Use it on the event loop.

    Args:
        what: what takes a place, in the plural, for people to read.
        most: places in all.
        most_each: places of one caller.
        retry_s: seconds after which a refused caller may come again.
    """

    def __init__(self, what: str, most: int, most_each: int, retry_s: float) -> None:
        self.what = what
        self.most = most
        self.most_each = most_each
        self.retry_s = retry_s
        self.held: Counter[str] = Counter()
        self.taken = 0

    @contextmanager
    def take(self, caller: str) -> Iterator[None]:
        """Hold a place.

        Raises:
            TooMany: none is free for this caller.
        """
        self.check(caller)
        self.taken += 1
        self.held[caller] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self.held[caller] -= 1
            if not self.held[caller]:
                del self.held[caller]

    def check(self, caller: str) -> None:
        """Raise TooMany if no place is free for this caller."""
        if self.held[caller] >= self.most_each:
            raise self._refusal(f"this token has {self.held[caller]} {self.what} open, the most")
        if self.taken >= self.most:
            raise self._refusal(f"the server has {self.taken} {self.what} open, the most")

    def _refusal(self, why: str) -> TooMany:
        of = self.what.replace(" ", "_")
        return TooMany(f"{why} there may be", retry_after=self.retry_s, of=of)
