"""When a request is sent again."""

from __future__ import annotations

import pytest

from tuner.client.retry import Patience

PATIENCE = Patience(total=10.0, first=0.2, longest=5.0)


@pytest.mark.parametrize(
    ("tries", "elapsed", "jitter", "asked", "pause"),
    [
        (1, 0.0, 0.0, None, 0.1),  # half of the first pause without luck
        (1, 0.0, 1.0, None, 0.2),  # all of it
        (3, 0.0, 1.0, None, 0.8),  # doubled twice
        (9, 0.0, 1.0, None, 5.0),  # never longer than the longest
        (10_000, 0.0, 1.0, None, 5.0),  # nor too large a power
        (1, 0.0, 0.0, 3.0, 3.0),  # the server's wish is met
        (1, 0.0, 1.0, 3.0, 4.5),  # but not by all at the same time
        (1, 0.0, 1.0, 0.01, 0.2),  # a shorter one changes nothing
        (1, 0.0, 0.0, 7.0, 7.0),  # even beyond the longest
        (1, 9.9, 1.0, None, None),  # it would end after patience does
        (1, 4.0, 1.0, 7.0, None),  # so would the server's wish
    ],
)
def test_pause(
    tries: int, elapsed: float, jitter: float, asked: float | None, pause: float | None
) -> None:
    got = PATIENCE.pause(tries=tries, elapsed=elapsed, jitter=jitter, asked=asked)
    assert got == (None if pause is None else pytest.approx(pause))


def test_no_patience_is_one_try() -> None:
    assert Patience(total=0.0).pause(tries=1, elapsed=0.0, jitter=0.5, asked=None) is None
