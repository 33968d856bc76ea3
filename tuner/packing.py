"""Which GPUs of a node a trial gets: a share of one, whole ones, or a slot's own. Pure.

Server and worker use the same rules: the server leases what has room, the worker places it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, Self

Need = float | None
"""What a trial asks for: a share below 1, whole GPUs from 1 on, 0 for none; None: a slot's own."""

SMALLEST = 0.01
"""The smallest share of a GPU."""

_EXACT = 1e-6
"""Shares are compared up to this, since ten times 0.1 is not 1."""


class Spot(NamedTuple):
    """Where a trial goes: GPUs by index, what it takes of each, and whose home, if a slot's own."""

    gpus: tuple[int, ...]
    share: float
    home: int | None = None


@cache
def homes(slots: int, gpus: int) -> tuple[Spot, ...]:
    """Return each slot's own GPUs, and the share it takes of them.

    Slots share the GPUs evenly: with more slots than GPUs several slots see the same one, with
    fewer a slot sees several.
    """
    if not gpus:
        return tuple(Spot((), 0.0, slot) for slot in range(slots))
    if slots <= gpus:
        return tuple(Spot(tuple(range(slot, gpus, slots)), 1.0, slot) for slot in range(slots))
    beside = [len(range(gpu, slots, gpus)) for gpu in range(gpus)]
    return tuple(Spot((slot % gpus,), 1.0 / beside[slot % gpus], slot) for slot in range(slots))


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is free on a node.

    Args:
        places: slots without a trial.
        free: the free share of each GPU.
        homes: the slots' own places that no trial holds.
    """

    places: int
    free: tuple[float, ...]
    homes: tuple[Spot, ...]

    @classmethod
    def empty(cls, slots: int, gpus: int) -> Self:
        """Return the room of a node that runs nothing."""
        return cls(places=slots, free=(1.0,) * gpus, homes=homes(slots, gpus))

    def spots(self, need: Need) -> tuple[Spot, ...]:
        """Return where a trial may go now, the best first; none if there is no room.

        A share goes to the GPU with the most room, so that no GPU idles while trials crowd another.
        """
        if not self.places:
            return ()
        if need is None:
            return tuple(home for home in self.homes if self._holds(home))
        if need <= 0:
            return (Spot((), 0.0),)
        by_room = self._by_room()
        if need <= 1:
            return tuple(Spot((gpu,), need) for gpu in by_room if self._fits(gpu, need))
        whole = sorted(gpu for gpu in by_room if self._fits(gpu, 1.0))[: int(need)]
        return (Spot(tuple(whole), 1.0),) if len(whole) == int(need) else ()

    def take(self, spot: Spot) -> Self:
        """Return the room beside a trial that goes to `spot`."""
        left = tuple(
            max(0.0, free - spot.share) if gpu in spot.gpus else free
            for gpu, free in enumerate(self.free)
        )
        rest = tuple(home for home in self.homes if home.home != spot.home)
        return replace(self, places=self.places - 1, free=left, homes=rest)

    def reserve(self, need: Need) -> Self:
        """Return the room beside the GPUs that are kept for a trial which has none now.

        They are those with the most room. As nothing new starts on them, what is free on them only
        grows, and the trial starts once the trials there have ended.
        """
        if need is None:
            kept = max(self.homes, key=self._least, default=Spot((), 0.0)).gpus
        else:
            kept = self._by_room()[: max(1, int(need))] if need > 0 else ()
        left = tuple(0.0 if gpu in kept else free for gpu, free in enumerate(self.free))
        return replace(self, free=left)

    def _by_room(self) -> tuple[int, ...]:
        return tuple(sorted(range(len(self.free)), key=lambda gpu: -self.free[gpu]))

    def _fits(self, gpu: int, share: float) -> bool:
        return self.free[gpu] >= share - _EXACT

    def _holds(self, home: Spot) -> bool:
        return all(self._fits(gpu, home.share) for gpu in home.gpus)

    def _least(self, home: Spot) -> float:
        return min((self.free[gpu] for gpu in home.gpus), default=0.0)


def asked(need: Need, *, learned: float | None = None, floor: float | None = None) -> Need:
    """Return what a trial of a study gets.

    Args:
        need: what its study declares.
        learned: the share that the study's trials turned out to need, in its place.
        floor: the share below which this trial ran out of memory.
    """
    if need is None or not 0 < need < 1:
        return need
    share = need if learned is None else learned
    return min(1.0, max(share, floor or 0.0))


def process_count(gpus: Need, processes: int | None) -> int:
    """Return how many processes train a trial: one a GPU if none are named."""
    return processes if processes is not None else max(1, int(gpus or 0))
