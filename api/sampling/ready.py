"""Points made ready ahead for a study's next trials, so that asking for one needs no wait."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from api import lifecycle
from api.sampling.proposer import Needs
from api.sampling.terms import Point
from storage import Listing, Reader
from tuner.errors import InvalidInput
from tuner.spec.space import SpaceSpec
from tuner.study import Study
from tuner.trial import Trial

MOST_AHEAD = 8
RESULTS_A_POINT = 50
"""Results for which one point is made ahead: early ones teach much, and proposals cost little."""
Propose = Callable[[Study, int, Sequence[Trial], int, Sequence[Point]], Awaitable[list[Point]]]


class NoPoint(Exception):
    """There is no point for the trial `number`, and there will be none."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A point, with what must still hold when it is used.

    Args:
        point: for one number.
        before: the point it takes the trial before it to have; None where that one was stored.
        until: how many of the study's trials may have ended.
    """

    point: Point
    before: Point | None
    until: int


class Shelf:
    """The points ready for one study. Lives on the event loop; proposing itself may not.

    Guarantees: a point serves only the number it was made for, and only after the trials that it
    was made after. With `parallel: 1` it was made from all results there are. Otherwise it is used
    until all those trials have ended that ran when it was made: it counted them as running.
    """

    def __init__(self, needs: Needs, propose: Propose, space: SpaceSpec | None = None) -> None:
        self._space = space
        self._needs = needs
        self._wanted = 0
        """Points that callers ask for now, those included that have just taken them."""
        self._goal = 0
        """The number of the trial before which there is a point for each of those callers."""
        self._propose = propose
        self._ready: dict[int, _Ready] = {}
        self._filling = asyncio.Lock()

    def serves(self, study: Study) -> bool:
        """Tell whether the points are of the space that the study has now."""
        return self._space is study.spec.space or self._space == study.spec.space

    def count(self, reader: Reader, study_id: int) -> int:
        """Return how many trials, one after the other, would find a point now."""
        return len(self._usable(reader, study_id))

    def clear(self) -> None:
        """Drop all points."""
        self._ready.clear()

    def point(self, reader: Reader, study_id: int) -> Point | None:
        """Return the point for the study's next trial; None if none is ready."""
        number = reader.next_number(study_id)
        ready = self._ready.get(number)
        if ready is None or ready.until < _ended(reader, study_id):
            return None
        if ready.before is not None and reader.trial(study_id, number - 1).params != ready.before:
            return None
        return ready.point

    @contextmanager
    def asking(self, reader: Reader, study_id: int, count: int) -> Iterator[None]:
        """Count a caller who asks for points, until the block ends."""
        self._wanted += count
        self._goal = max(self._goal, reader.next_number(study_id)) + count
        try:
            yield
        finally:
            self._wanted -= count

    def asked(self, reader: Reader, study: Study) -> int:
        """Return how many points callers ask for that could all be used now."""
        left = max(0, min(self._wanted, self._goal - reader.next_number(study.study_id)))
        limit = study.spec.budget.parallel
        if self._needs is not Needs.RESULTS or limit is None:
            return left
        running = len(reader.listed(study.study_id, Listing.RUNNING))
        return min(left, max(1, limit - running))

    def ahead(self, reader: Reader, study: Study) -> int:
        """Return how many points to make ready before they are asked for."""
        left = study.spec.budget.trials - lifecycle.tally(reader, study.study_id).searched
        if self._needs is not Needs.RESULTS:
            return min(MOST_AHEAD, left)
        if study.spec.budget.parallel == 1:
            return 0
        running = len(reader.listed(study.study_id, Listing.RUNNING))
        worthwhile = _ended(reader, study.study_id) // RESULTS_A_POINT
        return max(0, min(MOST_AHEAD, left, running // 2, worthwhile))

    async def fill(self, reader: Reader, study: Study, count: int) -> bool:
        """Make the next `count` points ready, those that are there kept; False if there are fewer.

        Raises:
            NoPoint: there is not even one.
        """
        if self.count(reader, study.study_id) >= count:
            return True
        async with self._filling:
            self._ready = self._usable(reader, study.study_id)
            if len(self._ready) < count:
                await self._make(reader, study, count - len(self._ready))
            return len(self._ready) >= count

    def _usable(self, reader: Reader, study_id: int) -> dict[int, _Ready]:
        """Return the points that trials may get one after the other from now on."""
        found: dict[int, _Ready] = {}
        if self.point(reader, study_id) is None:
            return found
        number, ended = reader.next_number(study_id), _ended(reader, study_id)
        while (ready := self._ready.get(number)) is not None and ended <= ready.until:
            found[number] = ready
            number += 1
        return found

    def _until(self, reader: Reader, study: Study) -> int:
        """Return how many trials may have ended when a point made now is used."""
        if self._needs is not Needs.RESULTS:
            return sys.maxsize
        alone = study.spec.budget.parallel == 1
        running = len(reader.listed(study.study_id, Listing.RUNNING))
        return _ended(reader, study.study_id) + (0 if alone else running)

    async def _make(self, reader: Reader, study: Study, count: int) -> None:
        """Make further points, after those that are ready."""
        number, until = reader.next_number(study.study_id), self._until(reader, study)
        trials = () if self._needs is Needs.NOTHING else reader.trials(study.study_id)
        kept = [r.point for r in self._ready.values()]
        try:
            made = await self._propose(study, number, trials, count, kept)
        except InvalidInput as exc:
            made, reason = [], exc.detail
        else:
            reason = "every point of the grid was tried"
        if not kept and not made:
            raise NoPoint(number, reason)
        before: Point | None = kept[-1] if kept else None
        for n, point in enumerate(made, number + len(kept)):
            assumed = None if self._needs is Needs.NOTHING else before
            self._ready[n] = _Ready(point=point, before=assumed, until=until)
            before = point


def _ended(reader: Reader, study_id: int) -> int:
    """Return how many of a study's trials have ended."""
    count = lifecycle.tally(reader, study_id)
    return reader.next_number(study_id) - count.waiting - count.running
