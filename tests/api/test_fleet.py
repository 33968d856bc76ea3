"""Who ran what when, and workers taken out of service by hand."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.in_process import API
from tests.api.node import Clock, Node, serve
from tests.api.people import as_who, token
from tuner.access import Role

pytestmark = pytest.mark.anyio
WORK = {"run": {"entrypoint": "pkg.train:main"}}
START = datetime(2026, 1, 1, tzinfo=UTC)


async def attempts(node: Node, **query: Any) -> dict[str, Any]:
    reply = await node.http.get(f"{API}/attempts", params=query)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def rows(page: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(page["columns"][n] for n in names), strict=True))


async def drained(node: Node, worker: str) -> str:
    items = (await node.http.get(f"{API}/workers")).json()["items"]
    return str(next(w["drained_by"] for w in items if w["worker_id"] == worker))


async def test_attempts_say_who_ran_what_when_and_how_it_ended(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        await node.submit(**WORK)
        worker = await node.register()
        first, second = (await node.acquire(worker, n=2)).leases
        clock.seconds = 60
        await node.report(first, 1, 0.5)
        await node.finish(first)
        await node.release(second)
        clock.seconds = 90
        await node.acquire(worker)
        page = await attempts(node, since=at(-60))
        assert page["studies"] == {str(first.study_id): "s"}
        start = START.timestamp()
        assert rows(page, "number", "attempt", "started", "ended", "end", "outcome") == [
            (1, 2, start + 90, None, None, None),
            (1, 1, start, start + 60, "released", None),
            (0, 1, start, start + 60, "ended", "complete"),
        ]
        assert set(page["columns"]["worker_id"]) == {worker}


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (0, 50, [0]),  # began before the span ends
        (0, 101, [1, 0]),
        (60, 200, [1, 0]),  # ended at its start
        (61, 200, [1]),  # ended before it
        (500, 600, [1]),  # still runs
    ],
)
async def test_a_span_holds_what_ran_at_some_moment_of_it(
    tmp_path: Path, since: float, until: float, found: Sequence[int]
) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, lease_s=10_000.0) as node:
        await node.submit()
        grant = await node.ask()
        clock.seconds = 60
        await node.finish(grant, value=1.0)
        clock.seconds = 100
        await node.ask()
        page = await attempts(node, since=at(since), until=at(until))
        assert page["columns"]["number"] == found


async def test_pages_hold_each_attempt_once_though_many_began_together(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        await node.submit()
        for n in range(7):
            clock.seconds = n // 3
            await node.ask()
        found: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = await attempts(node, since=at(-1), limit=2, **cursor)
            found += page["columns"]["number"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "query",
    [
        {"since": at(5), "until": at(5)},
        {"since": "2026-01-01T00:00:00"},
        {"since": "0001-01-01T00:00:00+23:59"},
        {"until": "9999-12-31T23:59:59-23:59"},
        {"until": "0001-01-01T00:00:00Z"},
        {"cursor": "1-2"},
        {"cursor": f"9{'9' * 16}-{'9' * 10}-1"},
        {"limit": "20001"},
    ],
)
async def test_what_can_not_be_read_is_refused(tmp_path: Path, query: dict[str, str]) -> None:
    async with serve(tmp_path) as node:
        assert (await node.http.get(f"{API}/attempts", params=query)).status_code == 422


async def test_attempts_of_other_projects_are_left_out(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        for name in ("mine", "theirs"):
            await node.submit(name=name, queue={"project": name})
            await node.ask(name)
        viewer = await token(node, Role.VIEWER, project="mine")
        page = (await as_who(node, viewer, "GET", "/attempts")).json()
        assert list(page["studies"].values()) == ["mine"]
        assert len(page["columns"]["number"]) == 1


async def test_a_drained_worker_gets_no_trial_and_keeps_those_it_runs(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**WORK)
        worker = await node.register()
        (grant,) = (await node.acquire(worker)).leases
        for _ in range(2):
            reply = await node.http.put(f"{API}/workers/{worker}/drain")
            assert (reply.status_code, reply.json()["drained_by"]) == (200, "admin")
        assert (await node.acquire(worker)).leases == []
        assert (await node.report(grant, 1, 0.5)).action == "continue"
        assert len((await node.acquire(await node.register())).leases) == 1
        entries = (await node.http.get(f"{API}/audit?action=drain")).json()["items"]
        assert [e["detail"] for e in entries] == [{"worker": worker, "name": "w"}]


async def test_a_worker_that_waits_is_served_as_soon_as_it_is_undrained(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**WORK)
        worker = await node.register()
        await node.http.put(f"{API}/workers/{worker}/drain")
        asked = asyncio.create_task(node.acquire(worker, wait_s=60.0))
        async with asyncio.timeout(50.0):
            while not node.services.polls.taken:
                await asyncio.sleep(0)
            assert (await node.http.delete(f"{API}/workers/{worker}/drain")).status_code == 200
            assert len((await asked).leases) == 1


async def test_a_restart_keeps_workers_drained(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        stays, back, gone = [await node.register() for _ in range(3)]
        for worker in (stays, back, gone):
            await node.http.put(f"{API}/workers/{worker}/drain")
        await node.http.delete(f"{API}/workers/{back}/drain")
        await node.http.delete(f"{API}/workers/{gone}")
    async with serve(tmp_path) as node:
        assert await drained(node, stays) == "admin"
        assert await drained(node, back) == ""
        assert not node.services.cordons.holds(gone)


async def test_who_may_drain(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        everyones = await node.register()
        makers = {p: await token(node, Role.WORKER, f"w-{p}", project=p) for p in ("mine", "other")}
        body = {"name": "w", "host": "h", "slots": 1}
        ids = {
            p: (await as_who(node, secret, "POST", "/workers", body)).json()["worker_id"]
            for p, secret in makers.items()
        }
        submitter = await token(node, Role.SUBMITTER, "s", project="mine")
        viewer = await token(node, Role.VIEWER, "v")

        async def status(secret: str, worker: str) -> int:
            return (await as_who(node, secret, "PUT", f"/workers/{worker}/drain")).status_code

        assert await status(submitter, ids["mine"]) == 200
        assert await status(submitter, everyones) == 403
        assert await status(submitter, ids["other"]) == 404
        assert await status(viewer, ids["mine"]) == 403
        assert await status(makers["mine"], ids["mine"]) == 403


async def test_twelve_thousand_attempts_come_in_three_pages(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        grant = await node.ask()
        trial_id, now = node.trial(grant).trial_id, datetime.now(UTC).replace(tzinfo=None)
        made = [
            (trial_id, n, f"t-{n}", "w-1", 0, str(now - timedelta(seconds=n)), str(now), "lost")
            for n in range(2, 12_002)
        ]
        with closing(sqlite3.connect(tmp_path / "tuner.db")) as file, file:
            file.executemany(
                "INSERT INTO tuner_attempts (trial_id, attempt, token, worker_id, resumed_step,"
                " started_at, ended_at, ended_why) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                made,
            )
        found: list[tuple[Any, ...]] = []
        cursor: dict[str, str] = {}
        for _ in range(3):
            page = await attempts(node, **cursor)
            found += rows(page, "attempt", "started")
            cursor = {"cursor": page["next_cursor"]}
        assert cursor == {"cursor": None}
        assert sorted(n for n, _ in found) == list(range(1, 12_002))
        starts = [started for _, started in found]
        assert starts == sorted(starts, reverse=True)
