"""Time that moves only when told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class PlainClock:
    """Seconds, monotonic if set so."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds
