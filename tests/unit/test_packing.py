"""What a trial gets of a node: shares, whole GPUs, a slot's own; what is kept for a large one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.packing import Need, Room, Spot, asked, homes, process_count
from tuner.worker.gpus import Gpu, visible

FOUR = tuple(Gpu(ident=str(n), name="g") for n in range(4))
NEEDS = st.one_of(
    st.none(), st.just(0.0), st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0]), st.integers(1, 4)
)


@pytest.mark.parametrize(
    ("asked", "gpus", "slots", "slot", "seen"),
    [
        ((), (), 2, 0, None),  # not asked: the environment stays
        (("none",), (), 2, 0, ""),  # hidden
        (("0", "1"), FOUR[:2], 2, 1, "1"),  # one each
        (("0", "1"), FOUR[:2], 4, 3, "1"),  # two slots share one
        (("all",), FOUR, 2, 0, "0,2"),  # two each
        (("all",), FOUR, 2, 1, "1,3"),
        (("all",), FOUR, 3, 0, "0,3"),  # one left over
    ],
)
def test_a_slots_own(
    asked: tuple[str, ...], gpus: tuple[Gpu, ...], slots: int, slot: int, seen: str | None
) -> None:
    assert visible(asked, gpus, homes(slots, len(gpus))[slot]) == seen


def test_what_names_gpus_never_sees_all_of_the_environment() -> None:
    assert visible((), (), Spot((), 0.0)) == ""


@given(st.integers(1, 40), st.integers(1, 16))
def test_the_slots_own_places_use_up_the_gpus(slots: int, gpus: int) -> None:
    used: Counter[int] = Counter()
    for home in homes(slots, gpus):
        assert home.gpus
        used.update(dict.fromkeys(home.gpus, home.share))
    assert set(used) == set(range(gpus))
    assert all(total == pytest.approx(1.0) for total in used.values())


@pytest.mark.parametrize(
    ("free", "need", "where"),
    [
        ((1.0, 1.0), 0.25, [(0,), (1,)]),  # the emptier first, then by number
        ((0.5, 1.0), 0.25, [(1,), (0,)]),
        ((0.2, 0.3), 0.25, [(1,)]),
        ((0.2, 0.2), 0.25, []),
        ((0.99, 1.0), 1.0, [(1,)]),
        ((1.0, 0.5, 1.0), 2.0, [(0, 2)]),
        ((1.0, 0.5, 0.9), 2.0, []),
        ((0.0, 0.0), 0.0, [()]),  # none needed
        ((1.0 - 9 * 0.1,), 0.1, [(0,)]),  # what is left of ten tenths
        ((), 0.5, []),
    ],
)
def test_where_a_trial_may_go(free: tuple[float, ...], need: Need, where: object) -> None:
    room = Room(places=1, free=free, homes=())
    assert [spot.gpus for spot in room.spots(need)] == where
    assert Room(places=0, free=free, homes=()).spots(need) == ()


def test_a_trial_that_names_nothing_goes_where_a_slots_own_gpus_have_room() -> None:
    room = Room.empty(4, 2)
    assert [spot.home for spot in room.spots(None)] == [0, 1, 2, 3]
    room = room.take(room.spots(0.75)[0])
    assert [spot.home for spot in room.spots(None)] == [1, 3]  # half of GPU 0 is not free
    room = room.take(room.spots(None)[0])
    assert [spot.home for spot in room.spots(None)] == [3]


@given(st.integers(1, 12), st.integers(0, 4), st.lists(NEEDS, max_size=30))
def test_no_gpu_is_given_out_twice(slots: int, gpus: int, needs: list[Need]) -> None:
    room, used, homes_used = Room.empty(slots, gpus), [0.0] * gpus, []
    for need in needs:
        spots = room.spots(need)
        if not spots:
            continue
        spot = spots[-1]
        assert len(set(spot.gpus)) == len(spot.gpus)
        if need is not None:
            assert len(spot.gpus) == (0 if need == 0 else max(1, int(need)))
        for gpu in spot.gpus:
            used[gpu] += spot.share
            assert used[gpu] <= 1 + 1e-4
        if spot.home is not None:
            homes_used.append(spot.home)
        room = room.take(spot)
    assert room.places >= 0
    assert len(set(homes_used)) == len(homes_used)


@given(
    st.integers(1, 4),
    st.lists(st.sampled_from([0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=20),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.randoms(use_true_random=False),
)
def test_a_large_trial_starts_though_small_ones_never_end_to_come(
    gpus: int, small: list[float], large: float, random: object
) -> None:
    """Whenever one ends, small ones take all that is not kept; the large one gets its turn."""
    large = min(large, float(gpus))
    slots = 40
    running: list[Spot] = []

    def room() -> Room:
        found = Room.empty(slots, gpus)
        for spot in running:
            found = found.take(spot)
        return found

    def fill(keep: bool) -> None:
        for need in small * 10:
            left = room().reserve(large) if keep else room()
            if spots := left.spots(need):
                running.append(spots[0])

    fill(keep=False)
    for _ in range(2000):
        if room().spots(large):
            return
        fill(keep=True)
        running.pop(random.randrange(len(running)))  # type: ignore[attr-defined]
    raise AssertionError("it starved")


@pytest.mark.parametrize(
    ("need", "learned", "floor", "share"),
    [
        (None, 0.5, 0.5, None),  # what names no share gets none
        (0.0, 0.5, 0.5, 0.0),
        (1.0, 0.5, None, 1.0),  # whole ones stay whole
        (2.0, 0.5, 0.5, 2.0),
        (0.25, None, None, 0.25),
        (0.25, 0.4, None, 0.4),  # what was learned counts instead
        (0.25, 0.2, None, 0.2),
        (0.25, 0.2, 0.5, 0.5),  # never less than what ran out
        (0.25, 3.0, None, 1.0),
    ],
)
def test_what_a_trial_gets(
    need: Need, learned: float | None, floor: float | None, share: Need
) -> None:
    assert asked(need, learned=learned, floor=floor) == share


@pytest.mark.parametrize(
    ("gpus", "processes", "count"),
    [
        (None, None, 1),
        (0.5, None, 1),
        (1, None, 1),
        (2, None, 2),
        (2, 1, 1),
        (0, 3, 3),
        (None, 2, 2),
    ],
)
def test_how_many_processes(gpus: Need, processes: int | None, count: int) -> None:
    assert process_count(gpus, processes) == count
