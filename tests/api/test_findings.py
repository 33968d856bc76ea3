"""Findings: events with advice made of reported metrics, listed, told, and known over a restart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.api.node import Node, item, serve
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
STUDY: dict[str, Any] = {"budget": {"trials": 3, "steps": 100}}
SLOW = {"update_ratio": 3e-5}


async def tell(node: Node, grant: LeaseGrant, step: int, metrics: Mapping[str, float]) -> None:
    sent = item(grant, step, 1.0).model_copy(update={"metrics": dict(metrics)})
    (result,) = await node.results([sent])
    assert result.decision is not None, result.problem


async def findings(node: Node, number: int = 0) -> list[dict[str, Any]]:
    detail = (await node.http.get(f"/api/v1/studies/s/trials/{number}")).json()
    return [e for e in detail["events"] if e["kind"] == "finding"]


async def test_a_finding_is_an_event_with_its_advice(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**STUDY, name="s")
        grant = await node.ask()
        for step in range(1, 5):
            await tell(node, grant, step, SLOW)
        assert not await findings(node)
        for step in range(5, 12):
            await tell(node, grant, step, SLOW)
        (found,) = await findings(node)
        assert (found["step"], found["attempt"]) == (5, 1)
        said = "update ratio 3e-5 for 5 reports: the rate is about 30 times too low"
        assert found["data"]["reason"] == said
        assert found["data"]["rule"] == "update_ratio_low"
        listed = (await node.http.get("/api/v1/studies/s/findings")).json()
        assert listed == {"items": [found], "next_cursor": None}


async def test_a_report_thrice_and_a_late_one_count_once(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**STUDY, name="s")
        grant = await node.ask()
        for step in (1, 2, 3, 5):
            for _ in range(3):
                await tell(node, grant, step, SLOW)
        await tell(node, grant, 4, SLOW)
        assert not await findings(node)
        await tell(node, grant, 6, SLOW)
        assert [f["step"] for f in await findings(node)] == [6]


async def test_a_restart_goes_on_counting_and_repeats_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**STUDY, name="s")
        first, second = await node.ask(), await node.ask()
        for step in range(1, 7):
            await tell(node, first, step, SLOW)
        for step in range(1, 4):
            await tell(node, second, step, SLOW)
        kept = [node.trial(g).course for g in (first, second)]
    async with serve(tmp_path) as node:
        assert [node.trial(g).course for g in (first, second)] == kept
        for step in range(7, 20):
            await tell(node, first, step, SLOW)
        for step in range(4, 6):
            await tell(node, second, step, SLOW)
        assert [f["step"] for f in await findings(node)] == [5]
        assert [f["step"] for f in await findings(node, 1)] == [5]


async def test_an_attempt_from_the_start_repeats_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**STUDY, name="s")
        grant = await node.ask()
        for step in range(1, 7):
            await tell(node, grant, step, SLOW)
        await node.release(grant)
    async with serve(tmp_path) as node:
        again = await node.ask()
        assert (again.number, again.attempt) == (0, 2)
        for step in range(1, 12):
            await tell(node, again, step, SLOW)
        assert [(f["attempt"], f["step"]) for f in await findings(node)] == [(1, 5)]
