"""How much host memory a trial uses with all its processes, and how much it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuner.size import show_size
from tuner.worker import linux


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a trial may use, in bytes, and who says so."""

    size: int
    said_by: str


def limit_of(of_study: int | None, of_slot: int | None) -> Limit | None:
    """Return the smaller of what the study and the worker allow, None if neither says."""
    limits = [
        Limit(size=size, said_by=name)
        for size, name in ((of_study, "run.memory"), (of_slot, "--memory-per-slot"))
        if size is not None
    ]
    return min(limits, key=lambda one: one.size, default=None)


class Meter:
    """Measures a trial's processes now and then, and keeps the most they used.

    Memory that several of them share is counted once. What comes and goes between two measurements
    is not seen.
    """

    def __init__(self, limit: Limit | None) -> None:
        self._limit = limit
        self.peak = 0
        self.excess: str | None = None

    def measure(self, root: int, all_of: Mapping[int, linux.Process]) -> None:
        """Measure the child `root` with all that stems from it. `excess` says what was too much."""
        pids = [root, *linux.belongings(root, all_of)]
        used = linux.memory_of(pids, exact_above=self.peak)
        self.peak = max(self.peak, used)
        if self._limit is not None and used > self._limit.size:
            many = f" with its {len(pids)} processes" if len(pids) > 1 else ""
            self.excess = (
                f"the trial used {show_size(used)} of host memory{many}; "
                f"its limit is {show_size(self._limit.size)} ({self._limit.said_by})"
            )
