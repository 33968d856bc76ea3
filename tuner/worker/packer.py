"""Where a worker's trials go: by what their studies declare, then by what they turn out to need.

Pure: a `Packer` is a value, and each step returns the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from tuner.packing import Need, Room, Spot, asked, homes

MARGIN = 1.25
"""Room left beside the largest peak measured: the next trial's may be larger."""

FIRST_TRIALS = 3
"""Trials of a study that are measured before that counts."""

MOST_PACKED = 0.5
"""A trial gets at least this part of the share its study declares: memory is not all it needs."""

_STUDIES = 200


class Learned(NamedTuple):
    """What a study's trials showed here. `peak` is in bytes, `floor` the share after an oom."""

    declared: float
    trials: int = 0
    peak: int = 0
    floor: float = 0.0


class Ask(NamedTuple):
    """What a leased trial asks for; `floor` is the share below which it ran out of memory."""

    lease: str
    study_id: int
    need: Need
    floor: float | None = None


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A trial on its GPUs. `beside`: another trial was on one of them at some time."""

    ask: Ask
    spot: Spot
    beside: bool = False


@dataclass(frozen=True, kw_only=True)
class Packer:
    """The trials of a worker and its GPUs.

    Guarantees: the shares placed on a GPU never add up to more than 1. They may grow beyond it by
    what is learned of trials that run; nothing is added there then.

    Args:
        gpus: how many there are.
        memory: of the smallest GPU, in bytes; None if unknown, and then only shares count.
    """

    slots: int
    gpus: int
    memory: int | None = None
    running: tuple[Placed, ...] = ()
    learned: Mapping[int, Learned] = field(default_factory=dict)

    @property
    def room(self) -> Room:
        """What is free."""
        free = [1.0] * self.gpus
        for placed in self.running:
            for gpu in placed.spot.gpus:
                free[gpu] -= self.share(placed)
        taken = {placed.spot.home for placed in self.running}
        return Room(
            places=max(0, self.slots - len(self.running)),
            free=tuple(min(1.0, max(0.0, left)) for left in free),
            homes=tuple(home for home in homes(self.slots, self.gpus) if home.home not in taken),
        )

    @property
    def shares(self) -> dict[int, float]:
        """The shares that studies get here instead of those they declare."""
        found = {study_id: self._learned_share(study_id) for study_id in self.learned}
        return {study_id: share for study_id, share in found.items() if share is not None}

    def share(self, placed: Placed) -> float:
        """Return the part of each of its GPUs that a trial takes, by what is known now."""
        if not _is_share(placed.ask.need):
            return placed.spot.share
        return self._asked(placed.ask) or 0.0

    def place(
        self, ask: Ask, prefer: Callable[[Spot], int] = lambda _: 0
    ) -> tuple[Self, Spot] | None:
        """Place a trial; None if it has no room.

        Args:
            ask: what it asks for.
            prefer: ranks equally good places, the smallest first.
        """
        room = self.room
        spots = room.spots(self._asked(ask))
        if not spots:
            return None
        best = spots if ask.need is None else [s for s in spots if _as_good(room, s, spots[0])]
        spot = min(best, key=prefer)
        neighbours = [set(p.spot.gpus) & set(spot.gpus) for p in self.running]
        running = [
            replace(placed, beside=placed.beside or bool(common))
            for placed, common in zip(self.running, neighbours, strict=True)
        ]
        new = Placed(ask=ask, spot=spot, beside=any(neighbours))
        return replace(self, running=(*running, new)), spot

    def keep(self, leases: Collection[str]) -> Self:
        """Return the packer with these trials of those that ran."""
        return replace(self, running=tuple(p for p in self.running if p.ask.lease in leases))

    def measured(self, lease: str, peak: int) -> Self:
        """Learn the most memory, in bytes of one GPU, that a running trial held."""
        found = self._find(lease)
        if found is None or peak <= 0 or not _is_share(found.ask.need):
            return self
        known = self._known(found.ask)
        return self._learn(
            found.ask, known._replace(trials=known.trials + 1, peak=max(known.peak, peak))
        )

    def ran_out(self, lease: str) -> tuple[Self, float | None]:
        """Learn that a running trial ran out of its GPU's memory.

        Returns:
            The share with which to try it again, None if it had a GPU to itself: it would happen
            again.
        """
        found = self._find(lease)
        if found is None or not found.beside or not _is_share(found.ask.need):
            return self, None
        share = min(1.0, 2 * max(found.spot.share, self.share(found)))
        known = self._known(found.ask)
        return self._learn(found.ask, known._replace(floor=max(known.floor, share))), share

    def _find(self, lease: str) -> Placed | None:
        return next((p for p in self.running if p.ask.lease == lease), None)

    def _known(self, ask: Ask) -> Learned:
        return self.learned.get(ask.study_id, Learned(ask.need or 0.0))

    def _learn(self, ask: Ask, known: Learned) -> Self:
        others = {k: v for k, v in self.learned.items() if k != ask.study_id}
        kept = list(others.items())[-(_STUDIES - 1) :]
        return replace(self, learned={**dict(kept), ask.study_id: known})

    def _asked(self, ask: Ask) -> Need:
        return asked(ask.need, learned=self._learned_share(ask.study_id), floor=ask.floor)

    def _learned_share(self, study_id: int) -> float | None:
        known = self.learned.get(study_id)
        if known is None:
            return None
        share = known.declared
        if self.memory is not None and known.trials >= FIRST_TRIALS:
            share = max(known.peak * MARGIN / self.memory, MOST_PACKED * known.declared)
        return min(1.0, max(share, known.floor))


def _is_share(need: Need) -> bool:
    return need is not None and 0 < need < 1


def _as_good(room: Room, spot: Spot, best: Spot) -> bool:
    def free(one: Spot) -> float:
        return sum(room.free[gpu] for gpu in one.gpus)

    return free(spot) >= free(best) - 1e-6
