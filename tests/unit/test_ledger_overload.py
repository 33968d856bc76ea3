"""A ledger with more commands than may wait refuses the rest and loses none that it took."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

import pytest

from storage import Ledger, Transaction
from storage.testing import memory_ledger
from tests.contract.ledger_history import spec
from tuner.errors import Unavailable

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _named(tx: Transaction, name: str) -> str:
    return tx.new_study(name, spec(), "me", NOW).name


async def _flood(ledger: Ledger, names: list[str]) -> tuple[list[str], list[Unavailable]]:
    """Write all at once; return the names that were acknowledged, and the refusals."""
    writes = (ledger.write(partial(_named, name=name)) for name in names)
    found = await asyncio.gather(*writes, return_exceptions=True)
    refused = [x for x in found if isinstance(x, Unavailable)]
    taken = [x for x in found if isinstance(x, str)]
    assert len(taken) + len(refused) == len(names), found
    return taken, refused


@pytest.mark.parametrize(
    ("most", "writes", "accepted"),
    [
        (8, 7, 7),  # fewer than may wait
        (8, 8, 8),  # as many as may wait
        (8, 9, 8),  # one too many
        (8, 500, 8),  # a flood
        (1, 2, 1),  # the smallest queue
    ],
)
def test_what_is_beyond_the_bound_is_refused_and_the_rest_stored(
    most: int, writes: int, accepted: int
) -> None:
    async def run() -> None:
        async with memory_ledger() as ledger:
            ledger.most_waiting = most
            names = [f"s{i}" for i in range(writes)]
            taken, refused = await _flood(ledger, names)
            assert taken == names[:accepted]
            assert [study.name for study in ledger.memory.studies()] == taken
            assert {(e.detail, e.extra["retry_after"]) for e in refused} <= {
                ("the server is overloaded", 1)
            }

    asyncio.run(run())


def test_a_refused_write_is_taken_when_it_comes_again() -> None:
    async def run() -> None:
        async with memory_ledger() as ledger:
            ledger.most_waiting = 8
            names = [f"s{i}" for i in range(50)]
            left = names
            while left:
                taken, _ = await _flood(ledger, left)
                left = [name for name in left if name not in taken]
            assert [study.name for study in ledger.memory.studies()] == names

    asyncio.run(run())
