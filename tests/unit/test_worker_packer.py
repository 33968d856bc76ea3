"""The packer: what is placed where, what is learned, what an oom changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tuner.packing import Need, Spot
from tuner.worker.packer import FIRST_TRIALS, MARGIN, MOST_PACKED, Ask, Packer

GIB = 1 << 30


def placed(packer: Packer, lease: str, need: Need, study: int = 1, **more: Any) -> Packer:
    found = packer.place(Ask(lease, study, need, **more))
    assert found is not None
    return found[0]


def spot(packer: Packer, lease: str) -> Spot:
    return next(one.spot for one in packer.running if one.ask.lease == lease)


def fits(packer: Packer, need: Need, study: int = 1) -> int:
    """Count how many more trials have room."""
    count = 0
    while (found := packer.place(Ask(f"more-{count}", study, need))) is not None:
        packer, count = found[0], count + 1
    return count


@pytest.mark.parametrize(
    ("need", "count"),
    [(0.25, 8), (0.3, 6), (0.5, 4), (0.51, 2), (1.0, 2), (2.0, 1), (3.0, 0), (0.0, 16), (None, 16)],
)
def test_how_many_fit_on_two_gpus(need: Need, count: int) -> None:
    assert fits(Packer(slots=16, gpus=2), need) == count


def test_small_trials_spread_and_large_ones_wait_for_empty_gpus() -> None:
    packer = placed(placed(Packer(slots=8, gpus=2), "a", 0.25), "b", 0.25)
    assert {spot(packer, "a").gpus, spot(packer, "b").gpus} == {(0,), (1,)}
    assert packer.place(Ask("big", 2, 1.0)) is None
    packer = placed(packer.keep({"b"}), "big", 1.0, study=2)
    assert spot(packer, "big").gpus == (0,)


def test_a_trial_goes_to_an_equally_good_place_that_is_preferred() -> None:
    packer = Packer(slots=4, gpus=2)
    found = packer.place(Ask("a", 1, 0.5), lambda spot: 0 if spot.gpus == (1,) else 1)
    assert found is not None
    assert found[1].gpus == (1,)
    # but not to a fuller one
    again = found[0].place(Ask("b", 1, 0.5), lambda spot: 0 if spot.gpus == (1,) else 1)
    assert again is not None
    assert again[1].gpus == (0,)


def measured(packer: Packer, peak: int, trials: int = FIRST_TRIALS, need: float = 0.25) -> Packer:
    """Let trials of study 1 run one after another, and measure each."""
    for number in range(trials):
        packer = placed(packer, f"m{number}", need).measured(f"m{number}", peak).keep(())
    return packer


@pytest.mark.parametrize(
    ("peak", "trials", "memory", "share"),
    [
        (2 * GIB, FIRST_TRIALS, 80 * GIB, 0.25 * MOST_PACKED),  # little: the bound
        (12 * GIB, FIRST_TRIALS, 80 * GIB, 12 / 80 * MARGIN),  # between: more are packed
        (16 * GIB, FIRST_TRIALS, 80 * GIB, 0.25),  # as declared
        (32 * GIB, FIRST_TRIALS, 80 * GIB, 0.5),  # more: fewer are packed
        (79 * GIB, FIRST_TRIALS, 80 * GIB, 1.0),  # a whole one at most
        (2 * GIB, FIRST_TRIALS - 1, 80 * GIB, 0.25),  # too few to tell
        (2 * GIB, FIRST_TRIALS, None, 0.25),  # unknown: only shares count
        (0, FIRST_TRIALS, 80 * GIB, None),  # nothing was measured
    ],
)
def test_the_measured_peak_takes_the_declared_shares_place(
    peak: int, trials: int, memory: int | None, share: float | None
) -> None:
    packer = measured(Packer(slots=64, gpus=1, memory=memory), peak, trials)
    assert packer.shares == ({} if share is None else {1: pytest.approx(share)})
    assert fits(packer, 0.25) == int(1 / (share or 0.25) + 1e-9)


def test_the_largest_peak_counts() -> None:
    packer = measured(Packer(slots=8, gpus=1, memory=80 * GIB), 32 * GIB)
    packer = measured(packer, 1 * GIB, 50)
    assert packer.shares == {1: pytest.approx(0.5)}


def test_what_is_learned_counts_for_trials_that_run() -> None:
    packer = Packer(slots=8, gpus=1, memory=80 * GIB)
    for number in range(3):
        packer = placed(packer, f"t{number}", 0.25)
    for number in range(FIRST_TRIALS):
        packer = packer.measured(f"t{number}", 32 * GIB)
    assert packer.room.free == (0.0,)  # three times a half
    assert packer.keep({"t0"}).room.free[0] == pytest.approx(0.5)


def test_whole_gpus_are_not_measured() -> None:
    packer = placed(Packer(slots=8, gpus=1, memory=80 * GIB), "t", 1.0)
    assert packer.measured("t", GIB).shares == {}


def test_an_oom_beside_others_asks_for_more_until_a_gpu_is_its_own() -> None:
    packer, share = Packer(slots=64, gpus=1), 0.1
    for expected in (0.2, 0.4, 0.8, 1.0):
        packer = placed(packer, "other", 0.05, study=2) if share < 1 else packer
        packer = placed(packer, "t", 0.1, floor=share if share > 0.1 else None)
        packer, again = packer.ran_out("t")
        assert again == pytest.approx(expected)
        assert again is not None
        share = again
        packer = packer.keep(())
    packer = placed(packer, "t", 0.1, floor=share)
    assert spot(packer, "t").share == 1.0
    assert packer.ran_out("t")[1] is None  # it had the GPU to itself


def test_an_oom_is_remembered_for_the_study_here() -> None:
    packer = placed(placed(Packer(slots=8, gpus=1), "a", 0.25), "b", 0.25)
    packer, share = packer.ran_out("b")
    assert share == 0.5
    assert packer.shares == {1: 0.5}
    packer = packer.keep(())
    assert (fits(packer, 0.25), fits(packer, 0.25, study=2)) == (2, 4)


def test_a_lone_trials_oom_is_its_own() -> None:
    packer = placed(Packer(slots=8, gpus=2), "a", 0.25)
    packer = placed(packer, "elsewhere", 0.25)  # on the other GPU
    assert packer.ran_out("a") == (packer, None)
    # one that came and went counts
    packer = placed(packer, "beside", 0.25)
    assert spot(packer, "beside").gpus == (0,)
    assert packer.keep({"a", "elsewhere"}).ran_out("a")[1] == 0.5


@pytest.mark.parametrize("need", [None, 1.0, 2.0, 0.0])
def test_only_shares_can_grow(need: Need) -> None:
    packer = placed(placed(Packer(slots=8, gpus=2), "a", need), "b", 0.0)
    assert packer.ran_out("a")[1] is None
    assert packer.ran_out("unknown")[1] is None


def test_old_studies_are_forgotten() -> None:
    packer = Packer(slots=4, gpus=1, memory=GIB)
    for study in range(1, 1002):
        packer = placed(packer, "t", 0.5, study=study).measured("t", 1).keep(())
    assert len(packer.learned) == 200
    assert 1001 in packer.learned


class Life(RuleBasedStateMachine):
    """A worker's life: trials come, end, are measured, and run out of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.packer = Packer(slots=6, gpus=3, memory=80 * GIB)
        self.count = 0

    @rule(
        need=st.one_of(st.none(), st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.3, 0.5, 1.0, 2.0, 3.0])),
        study=st.integers(1, 3),
        floor=st.one_of(st.none(), st.sampled_from([0.2, 0.6, 1.0])),
    )
    def come(self, need: Need, study: int, floor: float | None) -> None:
        # a study's trials all declare the same; here each need is a study of its own
        ask = Ask(f"l{self.count}", 10 * study + int(100 * (need or 0)), need, floor)
        self.count += 1
        before = self.packer
        found = before.place(ask)
        if found is None:
            return
        self.packer, spot = found
        assert len(self.packer.running) == len(before.running) + 1
        for gpu in spot.gpus:
            on_it = [one for one in self.packer.running if gpu in one.spot.gpus]
            assert sum(self.packer.share(one) for one in on_it) <= 1 + 1e-4
        if need is not None and need >= 1:
            assert len(spot.gpus) == need
            assert all(before.room.free[gpu] == 1.0 for gpu in spot.gpus)

    @precondition(lambda self: self.packer.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.packer.running))
        self.packer = self.packer.keep(
            {one.ask.lease for one in self.packer.running} - {gone.ask.lease}
        )
        assert gone not in self.packer.running

    @precondition(lambda self: self.packer.running)
    @rule(data=st.data(), peak=st.integers(0, 100 * GIB))
    def measure(self, data: st.DataObject, peak: int) -> None:
        one = data.draw(st.sampled_from(self.packer.running))
        self.packer = self.packer.measured(one.ask.lease, peak)

    @precondition(lambda self: self.packer.running)
    @rule(data=st.data())
    def run_out(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.packer.running))
        had = self.packer.share(one)
        self.packer, share = self.packer.ran_out(one.ask.lease)
        if share is not None:
            assert one.beside
            assert min(1.0, 2 * had) <= share <= 1.0

    @invariant()
    def within_bounds(self) -> None:
        room = self.packer.room
        assert all(0.0 <= free <= 1.0 for free in room.free)
        assert room.places == 6 - len(self.packer.running)
        assert all(0 < share <= 1 for share in self.packer.shares.values())
        for study, known in self.packer.learned.items():
            share = self.packer.shares[study]
            assert share >= MOST_PACKED * known.declared
            assert share >= known.floor


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30)
