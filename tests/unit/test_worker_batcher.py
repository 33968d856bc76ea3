"""Reports in batches and trials' ends after them, over a fake transport; and the spool on disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tuner.errors import TunerError
from tuner.wire import FinishTrial, ReportItem, ReportResult
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher
from tuner.worker.link import Link
from tuner.worker.spool import Entry, Spool

URL = "http://server"


def item(step: int, lease: str = "lease-one") -> ReportItem:
    return ReportItem(lease=lease, attempt=1, step=step, value=1.0)


class FakeTransport(httpx.AsyncBaseTransport):
    """Records requests, and answers when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.seen: list[tuple[str, Any]] = []
        self.failures = 0
        self.poison = -1

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        path = request.url.path.removeprefix("/api/v1")
        self.seen.append((path, [r["step"] for r in body.get("reports", [])]))
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise httpx.ConnectError("refused")
        if path == "/reports":
            steps = [r["step"] for r in body["reports"]]
            if self.poison in steps:
                return httpx.Response(422, text="no")
            reply = [{"decision": {"reason": str(step)}} for step in steps]
            return httpx.Response(200, json={"results": reply})
        return httpx.Response(200, json={"state": "ended", "outcome": "complete"})


class Rig:
    """A batcher that runs."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.transport = FakeTransport()
        self.link = Link(URL)
        self.spool = Spool(folder, URL, limit=limit)
        api = WorkerApi(URL, "t", self.link, request_timeout=5.0, transport=self.transport)
        self.fatal: list[TunerError] = []
        self.batcher = Batcher(api, self.spool, self.link, self.fatal.append)


def drive(
    folder: Path, scenario: Callable[[Rig], Coroutine[Any, Any, None]], limit: int = 100
) -> None:
    async def main() -> None:
        rig = Rig(folder, limit)
        running = asyncio.create_task(rig.batcher.run())
        try:
            async with asyncio.timeout(30):
                await scenario(rig)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0)


def reason(result: ReportResult) -> str:
    assert result.decision is not None
    return result.decision.reason


def test_the_first_goes_at_once_and_the_rest_together(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.transport.gate.clear()
        answers = [rig.batcher.report(item(1))]
        await until(lambda: rig.transport.seen)
        answers += [rig.batcher.report(item(step)) for step in (2, 3, 4)]
        rig.transport.gate.set()
        assert [reason(await answer) for answer in answers] == ["1", "2", "3", "4"]
        assert rig.transport.seen == [("/reports", [1]), ("/reports", [2, 3, 4])]

    drive(tmp_path, scenario)


def test_an_end_comes_after_its_leases_reports(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.transport.gate.clear()
        rig.batcher.report(item(1))
        await until(lambda: rig.transport.seen)
        rig.batcher.report(item(2))
        ends = [
            asyncio.create_task(rig.batcher.finish(lease, FinishTrial(attempt=1)))
            for lease in ("lease-one", "lease-two")
        ]
        await until(lambda: len(rig.transport.seen) == 2)
        assert rig.transport.seen[1] == ("/leases/lease-two/finish", [])
        rig.transport.gate.set()
        await asyncio.gather(*ends)
        assert rig.transport.seen[2:] == [("/reports", [2]), ("/leases/lease-one/finish", [])]
        assert len(rig.spool) == 0

    drive(tmp_path, scenario)


def test_a_poisoned_report_fails_alone(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.transport.poison = 3
        answers = [rig.batcher.report(item(step)) for step in range(1, 6)]
        results = [await answer for answer in answers]
        assert [r.problem is None for r in results] == [True, True, False, True, True]

    drive(tmp_path, scenario)


def test_while_away_reports_are_on_disk_and_then_gone(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.transport.failures = 2
        answers = [rig.batcher.report(item(1))]
        await until(lambda: rig.link.away)
        answers += [rig.batcher.report(item(2))]
        steps = [
            json.loads(line)["body"]["step"] for line in rig.spool.path.read_text().splitlines()
        ]
        assert steps == [1, 2]
        assert rig.spool.path.stat().st_mode & 0o077 == 0
        assert [reason(await answer) for answer in answers] == ["1", "2"]
        assert not rig.link.away
        assert not rig.spool.path.exists()

    drive(tmp_path, scenario)


def test_a_full_spool_drops_the_oldest(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.transport.gate.clear()
        answers = [rig.batcher.report(item(1))]
        await until(lambda: rig.transport.seen)
        answers += [rig.batcher.report(item(step)) for step in range(2, 6)]
        rig.transport.gate.set()
        results = [await answer for answer in answers]
        assert [r.decision is None for r in results] == [True, True, False, False, False]
        assert rig.transport.seen[1] == ("/reports", [3, 4, 5])

    drive(tmp_path, scenario, limit=3)


def entry(step: int) -> Entry:
    return Entry(kind="report", lease="lease-one", body={"step": step})


def test_a_dead_workers_file_is_taken_over_in_order(tmp_path: Path) -> None:
    dead = Spool(tmp_path, URL, limit=10)
    for step in (1, 2):
        dead.add(entry(step))
    dead.persist()
    dead.add(entry(3))
    living = Spool(tmp_path, URL, limit=10)
    assert list(living.recover()) == []  # its owner still holds it
    dead.close()
    assert list(Spool(tmp_path, URL + "/other", limit=10).recover()) == []
    with dead.path.open("a") as file:
        file.write('{"kind": "rep')  # cut off by the end of its writer
    found = []
    for one in living.recover():
        living.add(one)
        found.append(one.body["step"])
    assert found == [1, 2, 3]
    assert not dead.path.exists()
    assert len(living.path.read_text().splitlines()) == 3  # safe before the old file goes
    living.close()


@pytest.mark.parametrize("kept", [0, 2])
def test_a_file_lives_until_all_is_acknowledged(tmp_path: Path, kept: int) -> None:
    spool = Spool(tmp_path, URL, limit=10)
    keys = [spool.add(entry(step))[0] for step in range(4)]
    spool.persist()
    for key in keys[kept:]:
        spool.remove(key)
    assert spool.path.exists() is bool(kept)
    spool.close()


def test_a_long_outage_does_not_grow_the_file_without_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path, URL, limit=10)
    spool.add(entry(0))
    spool.persist()
    for step in range(1, 5000):
        spool.add(entry(step))
    assert len(spool) == 10
    assert len(spool.path.read_text().splitlines()) < 1100
    spool.close()


def test_a_folder_that_can_not_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "below", URL, limit=10)
    spool.add(entry(1))
    spool.persist()
    spool.add(entry(2))
    assert len(spool) == 2
