"""More requests than the ledger takes: each is stored and answered 200, or refused with 503."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.api.node import Node, item, serve
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
STEPS = 200


def _stored(folder: Path) -> set[int]:
    connection = sqlite3.connect(folder / "tuner.db")
    try:
        return {step for (step,) in connection.execute("SELECT step FROM tuner_reports")}
    finally:
        connection.close()


async def _flood(
    node: Node, grant: LeaseGrant, steps: set[int]
) -> list[tuple[int, httpx.Response]]:
    """Report each step in a request of its own, all at once."""

    async def one(step: int) -> tuple[int, httpx.Response]:
        body = {"reports": [item(grant, step, 1.0 / step).model_dump(mode="json")]}
        return step, await node.post("/reports", body)

    return list(await asyncio.gather(*(one(step) for step in sorted(steps))))


def _check(replies: list[tuple[int, httpx.Response]]) -> set[int]:
    """Return the steps acknowledged; every other must have been refused for now."""
    for _, reply in replies:
        assert reply.status_code in (200, 503), reply.text
        if reply.status_code == 503:
            assert reply.headers["Retry-After"] == "1"
            assert reply.headers["Content-Type"] == "application/problem+json"
            assert reply.json()["type"].endswith("unavailable")
            assert reply.json()["detail"] == "the server is overloaded"
        else:
            assert reply.json()["results"][0]["decision"]
    return {step for step, reply in replies if reply.status_code == 200}


async def test_a_flood_is_taken_or_refused_and_none_taken_is_lost(tmp_path: Path) -> None:
    everything = set(range(1, STEPS + 1))
    async with serve(tmp_path) as node:
        await node.submit(budget={"trials": 1, "steps": STEPS + 1})
        grant = await node.ask()
        node.services.ledger.most_waiting = 4
        replies = await _flood(node, grant, everything)
        taken = _check(replies)
        assert taken
        assert taken != everything
        assert _stored(tmp_path) == taken
        left = everything - taken
        while left:
            left -= _check(await _flood(node, grant, left))
        assert _stored(tmp_path) == everything
    async with serve(tmp_path) as node:
        assert {report.step for report in node.trial(grant).reports} == everything


async def test_a_request_refused_in_part_may_be_sent_again(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(budget={"trials": 1, "steps": 10})
        grant = await node.ask()
        items = [item(grant, step, 1.0 / step) for step in (1, 2, 3)]
        body = {"reports": [i.model_dump(mode="json") for i in items]}
        node.services.ledger.most_waiting = 2
        reply = await node.post("/reports", body)
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
        node.services.ledger.most_waiting = 3
        assert [r.problem for r in await node.results(items)] == [None] * 3
        assert [r.step for r in node.trial(grant).reports] == [1, 2, 3]


async def test_a_refused_lease_is_given_to_the_same_key(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(budget={"trials": 5, "steps": 10})
        node.services.ledger.most_waiting = 0
        reply = await node.post("/studies/s/ask", {}, "a-key")
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
        node.services.ledger.most_waiting = 1
        first = await node.ask(key="a-key")
        assert await node.ask(key="a-key") == first
