"""Points made ready: whom they serve, for how long, and how many there are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from api.sampling.points import draw
from api.sampling.proposer import GridProposer, Proposer, RandomProposer
from api.sampling.ready import MOST_AHEAD, NoPoint, Shelf
from api.sampling.terms import Point
from api.sampling.tpe import TpeProposer
from storage.index import build_index
from storage.memory import Counters, Memory, Tables
from tests.unit.plain import study, trial
from tuner.decision import Outcome
from tuner.space import Params
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState

SPACE: dict[str, Any] = {"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}}
GRID: dict[str, Any] = {"n": {"min": 1, "max": 4}}


class Bench:
    """A study whose trials are moved by hand, and its shelf."""

    def __init__(self, kind: type[Proposer], space: dict[str, Any], **budget: Any) -> None:
        names = {TpeProposer: "tpe", RandomProposer: "random", GridProposer: "grid"}
        self.of = study(names[kind], space, budget={"trials": 100} | budget)
        self.proposer = kind(self.of)
        self.shelf = Shelf(kind.needs, self._propose)
        self.trials: list[Trial] = []
        self.made: list[tuple[int, int]] = []

    async def _propose(
        self, of: Study, number: int, trials: Sequence[Trial], count: int, ahead: Sequence[Point]
    ) -> list[Point]:
        self.made.append((number + len(ahead), count))
        return await asyncio.to_thread(self.proposer.propose, of, number, trials, count, ahead)

    @property
    def memory(self) -> Memory:
        numbered = {t.number: t for t in self.trials}
        tables = Tables(
            studies={1: self.of},
            trials={1: numbered},
            index={1: build_index(self.trials)},
            counters=Counters(numbers={1: len(self.trials)}),
        )
        return Memory(tables)

    def start(self, params: Params | None = None, origin: Origin = Origin.SAMPLED) -> None:
        """Start a trial, with drawn parameters if none are given."""
        number = len(self.trials)
        point = draw(self.of.space, random.Random(number)) if params is None else dict(params)
        base = trial(number, point, random.Random(number))
        self.trials.append(
            base.evolve(state=TrialState.RUNNING, outcome=None, value=None, origin=origin)
        )

    def end(self, count: int) -> None:
        """End the oldest running trials."""
        running = [t for t in self.trials if t.state is TrialState.RUNNING][:count]
        assert len(running) == count
        for t in running:
            value = float(t.number)
            self.trials[t.number] = t.evolve(
                state=TrialState.ENDED, outcome=Outcome.COMPLETE, value=value
            )

    async def fill(self, count: int) -> None:
        await self.shelf.fill(self.memory, self.of, count)

    @property
    def point(self) -> Point | None:
        return self.shelf.point(self.memory, 1)

    def expected(self, count: int) -> list[Point]:
        """Return what a fresh proposer makes of all there is."""
        fresh = type(self.proposer)(self.of)
        return fresh.propose(self.of, len(self.trials), self.trials, count)


def begun(kind: type[Proposer] = TpeProposer, running: int = 4, **budget: Any) -> Bench:
    """Return a study with six trials that have ended, and some that run."""
    bench = Bench(kind, SPACE, **budget)
    for _ in range(6 + running):
        bench.start()
    bench.end(6)
    return bench


async def _fill_and_take(bench: Bench, count: int) -> list[Point]:
    """Return the points that one caller after the other gets."""
    taken = []
    await bench.fill(count)
    for _ in range(count):
        assert bench.point is not None
        taken.append(bench.point)
        bench.start(bench.point)
    return taken


@pytest.mark.parametrize("kind", [TpeProposer, RandomProposer])
def test_points_are_those_of_one_who_proposes_them_all_at_once(kind: type[Proposer]) -> None:
    bench = begun(kind)
    expected = bench.expected(3)
    assert asyncio.run(_fill_and_take(bench, 3)) == expected
    assert bench.point is None


def test_what_is_ready_is_kept_and_only_the_rest_is_made() -> None:
    bench = begun()
    expected = bench.expected(5)

    async def run() -> list[Point]:
        await bench.fill(2)
        first = await _fill_and_take(bench, 1)
        await bench.fill(1)
        return first + await _fill_and_take(bench, 4)

    assert asyncio.run(run()) == expected
    assert bench.made == [(10, 2), (12, 3)]


def test_callers_at_once_make_no_point_twice() -> None:
    bench = begun()

    async def run() -> None:
        await asyncio.gather(*(bench.fill(n) for n in (1, 3, 2, 3)))

    asyncio.run(run())
    assert bench.made == [(10, 1), (11, 2)]


def test_a_point_is_used_until_all_have_ended_that_ran_when_it_was_made() -> None:
    bench = begun(running=4)
    asyncio.run(bench.fill(3))
    bench.start(bench.point)
    bench.start(bench.point)
    bench.end(4)
    assert bench.point is not None
    bench.end(1)
    assert bench.point is None
    expected = bench.expected(1)
    assert asyncio.run(_fill_and_take(bench, 1)) == expected


def test_random_points_do_not_age() -> None:
    bench = begun(RandomProposer, running=1)
    asyncio.run(bench.fill(2))
    bench.start(bench.point)
    bench.end(2)
    assert bench.point == bench.expected(1)[0]


def test_one_trial_at_a_time_is_proposed_from_all_results() -> None:
    bench = begun(running=1, parallel=1)
    asyncio.run(bench.fill(1))
    assert bench.point is not None
    bench.end(1)
    assert bench.point is None
    expected = bench.expected(1)
    assert asyncio.run(_fill_and_take(bench, 1)) == expected


@pytest.mark.parametrize("kind", [TpeProposer, GridProposer])
def test_a_point_made_after_another_is_not_used_when_that_one_was_not(
    kind: type[Proposer],
) -> None:
    bench = Bench(kind, GRID)
    asyncio.run(bench.fill(3))
    first = bench.point
    assert first is not None
    wish = next({"n": n} for n in range(1, 5) if {"n": n} != first)
    bench.start(wish, Origin.ENQUEUED)
    assert bench.point is None
    expected = bench.expected(1)
    assert asyncio.run(_fill_and_take(bench, 1)) == expected


@pytest.mark.parametrize(
    ("kind", "ended", "running", "budget", "expected"),
    [
        (TpeProposer, 49, 40, {}, 0),  # the next results are worth waiting for
        (TpeProposer, 150, 40, {}, 3),
        (TpeProposer, 1000, 40, {}, MOST_AHEAD),
        (TpeProposer, 1000, 6, {}, 3),  # half of what runs
        (TpeProposer, 1000, 6, {"parallel": 6}, 3),  # for the place that comes free next
        (TpeProposer, 1000, 1, {}, 0),
        (TpeProposer, 1000, 1, {"parallel": 1}, 0),
        (TpeProposer, 1000, 40, {"trials": 1042}, 2),
        (TpeProposer, 1000, 40, {"trials": 1040}, 0),
        (RandomProposer, 6, 0, {"parallel": 1}, MOST_AHEAD),
    ],
)
def test_how_many_are_made_ahead(
    kind: type[Proposer], ended: int, running: int, budget: dict[str, Any], expected: int
) -> None:
    bench = Bench(kind, SPACE, **{"trials": 10_000, **budget})
    for _ in range(ended + running):
        bench.start()
    bench.end(ended)
    assert bench.shelf.ahead(bench.memory, bench.of) == expected


@pytest.mark.parametrize(
    ("wanted", "running", "parallel", "expected"),
    [
        (5, 2, None, 5),
        (5, 2, 4, 2),
        (5, 0, 1, 1),
        (1, 4, 4, 1),  # a place may come free before the point is there
    ],
)
def test_no_more_are_made_for_callers_than_may_run(
    wanted: int, running: int, parallel: int | None, expected: int
) -> None:
    limit = {} if parallel is None else {"parallel": parallel}
    bench = begun(TpeProposer, running, **limit)
    with bench.shelf.asking(bench.memory, 1, wanted):
        assert bench.shelf.asked(bench.memory, bench.of) == expected
    assert bench.shelf.asked(bench.memory, bench.of) <= 0


def test_callers_who_have_taken_their_points_are_not_counted_twice() -> None:
    bench = begun()
    with bench.shelf.asking(bench.memory, 1, 3):
        for _ in range(2):
            bench.start()
        assert bench.shelf.asked(bench.memory, bench.of) == 1
        with bench.shelf.asking(bench.memory, 1, 2):
            assert bench.shelf.asked(bench.memory, bench.of) == 3
            bench.start()
        assert bench.shelf.asked(bench.memory, bench.of) == 2


def test_the_end_of_a_grid() -> None:
    bench = Bench(GridProposer, GRID)
    taken = []

    async def run() -> None:
        await bench.fill(3)
        for _ in range(4):
            await bench.fill(3)
            assert bench.point is not None
            taken.append(bench.point["n"])
            bench.start(bench.point)
        with pytest.raises(NoPoint, match="every point") as caught:
            await bench.fill(1)
        assert caught.value.number == 4

    asyncio.run(run())
    assert sorted(taken) == [1, 2, 3, 4]


def test_cleared() -> None:
    bench = begun()
    asyncio.run(bench.fill(2))
    bench.shelf.clear()
    assert (bench.shelf.count(bench.memory, 1), bench.point) == (0, None)
