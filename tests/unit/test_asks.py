"""The benchmark of asks asks both sides the same."""

from __future__ import annotations

import random

import pytest

from benchmarks.asks import Peer, ours, past, plain


@pytest.mark.parametrize("peer", [ours, plain])
def test_asks_and_ends_alternate(peer: Peer) -> None:
    rng = random.Random(0)
    ask, tell = peer("tpe", [past(rng) for _ in range(20)], rng)
    for _ in range(3):
        ask()
        tell()
