"""Of lines that anybody can cause few are written, and the others counted."""

from __future__ import annotations

from api.observe.sparing import Sparing
from tests.unit.plain_clock import PlainClock


def test_some_pass_at_once_then_one_every_so_often() -> None:
    clock = PlainClock()
    sparing = Sparing(2, 5.0, clock)
    assert [sparing.take() for _ in range(5)] == [0, 0, None, None, None]
    clock.seconds += 4.0
    assert sparing.take() is None
    clock.seconds += 1.0
    assert [sparing.take(), sparing.take()] == [4, None]
    clock.seconds += 60.0
    assert [sparing.take() for _ in range(3)] == [1, 0, None]
