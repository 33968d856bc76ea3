"""Lines on their way to the server: in batches, each once, in bounds while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from tests.unit.plain_clock import PlainClock
from tuner.wire import LogItem, LogResult, LogResults, Logs, Problem
from tuner.worker.api import WorkerApi
from tuner.worker.link import Link
from tuner.worker.log_sender import BATCH, HELD, LogSender, LogStream

LEASE = "lease-000-001"


def stale() -> Problem:
    return Problem(type="/problems/stale-attempt", title="t", status=409)


def texts(item: LogItem) -> list[str]:
    return [line.text for line in item.lines]


def stream(clock: PlainClock | None = None) -> LogStream:
    return LogStream(LEASE, 1, lambda: None, clock=clock or PlainClock())


def taken(found: LogStream) -> LogItem:
    """Send a batch, and have it taken."""
    item = found.item()
    found.answered(item, LogResult(next=item.first + len(item.lines)))
    return item


def test_a_batch_is_the_same_until_it_is_answered() -> None:
    clock = PlainClock()
    found = stream(clock)
    found.add("a")
    clock.seconds = 2.0
    first = found.item()
    assert (first.first, texts(first), first.lines[0].age_s) == (0, ["a"], 2.0)
    found.add("b")
    again = taken(found)
    assert (again.first, texts(again), again.last) == (0, ["a"], False)
    found.end()
    last = taken(found)
    assert (last.first, texts(last), last.last) == (1, ["b"], True)
    assert found.done


def test_the_end_is_told_even_if_nothing_was_printed() -> None:
    found = stream()
    assert not found.has_news
    found.end()
    assert found.has_news
    item = taken(found)
    assert (item.lines, item.last, found.done, found.has_news) == ([], True, True, False)


def test_a_batch_has_a_bound() -> None:
    found = stream()
    for _ in range(100):
        found.add("x" * 1000)
    found.end()
    item = taken(found)
    assert BATCH <= sum(len(line.text) + 40 for line in item.lines) < BATCH + 1040
    assert not item.last
    assert len(taken(found).lines) + len(item.lines) == 100
    assert found.done


def test_while_the_server_is_away_the_newest_lines_are_kept() -> None:
    found = stream()
    found.add("first")
    found.item()  # which is never answered
    for number in range(2000):
        found.add(f"{number:04}" + "x" * 996)
    found.end()
    kept = texts(taken(found))
    assert kept == ["first"]
    rest = []
    while not found.done:
        rest += texts(taken(found))
    assert sum(map(len, rest)) <= HELD
    assert rest[-1].startswith("1999")
    note = rest[0]
    assert note == f"... {2000 - (len(rest) - 1)} lines left out: the server was away or slow ..."


def test_a_stale_attempt_sends_nothing_more() -> None:
    found = stream()
    found.add("a")
    found.answered(found.item(), LogResult(problem=stale()))
    found.add("b")
    assert found.done
    assert not found.has_news


def test_what_is_not_taken_is_left_out() -> None:
    found = stream()
    found.add("a")
    full = Problem(type="/problems/storage-full", title="t", status=507)
    found.answered(found.item(), LogResult(problem=full))
    found.add("b")
    item = taken(found)
    assert texts(item) == ["... 1 lines left out: the server was away or slow ...", "b"]
    assert item.first == 0


class FakeTransport(httpx.AsyncBaseTransport):
    """Takes logs, or answers as it is told."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}
        self.requests: list[Logs] = []
        self.failures: list[httpx.Response | Exception] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = Logs.model_validate_json(await request.aread())
        self.requests.append(body)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        results = []
        for item in body.logs:
            held = self.lines.setdefault(item.lease, [])
            held[item.first :] = texts(item)
            results.append(LogResult(next=len(held)))
        return httpx.Response(200, text=LogResults(results=results).model_dump_json())


def run(
    test: Callable[[FakeTransport, LogSender], Coroutine[Any, Any, None]], link: Link | None = None
) -> None:
    """Run a test with a sender that works."""

    async def main() -> None:
        transport, shared = FakeTransport(), link or Link("http://server")
        api = WorkerApi("http://server", "t", shared, request_timeout=5.0, transport=transport)
        async with api:
            sender = LogSender(api, shared, every=0.01, pause=0.02)
            task = asyncio.create_task(sender.run())
            try:
                await asyncio.wait_for(test(transport, sender), 30)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_all_attempts_share_a_request() -> None:
    async def test(transport: FakeTransport, sender: LogSender) -> None:
        streams = [sender.open(f"lease-{n:03}-001", 1) for n in range(20)]
        for number, one in enumerate(streams):
            one.add(f"line of {number}")
            one.end()
        await sender.drained(20)
        assert len(transport.requests) == 1
        assert transport.lines["lease-007-001"] == ["line of 7"]

    run(test)


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when another request was answered meanwhile."""
    monkeypatch.setattr("tuner.worker.log_sender._PATIENCE_S", 0.5)
    link = Link("http://server")

    async def test(transport: FakeTransport, sender: LogSender) -> None:
        transport.failures = [httpx.Response(503, headers={"Retry-After": "1"})]
        one = sender.open(LEASE, 1)
        began = time.monotonic()
        one.add("a")
        one.end()
        while not link.away:
            await asyncio.sleep(0.001)
        link.answered()
        await sender.drained(20)
        assert time.monotonic() - began >= 1
        assert transport.lines == {LEASE: ["a"]}

    run(test, link)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.Response(503, headers={"Retry-After": "0"}),
        httpx.Response(500),
    ],
)
def test_lines_wait_until_the_server_is_back(failure: httpx.Response | Exception) -> None:
    async def test(transport: FakeTransport, sender: LogSender) -> None:
        transport.failures = [failure] * 3
        one = sender.open(LEASE, 1)
        one.add("a")
        one.end()
        while not one.done:
            await asyncio.sleep(0.01)
        assert transport.lines == {LEASE: ["a"]}

    run(test)


def test_a_server_that_knows_no_logs_is_left_in_peace() -> None:
    async def test(transport: FakeTransport, sender: LogSender) -> None:
        transport.failures = [httpx.Response(404)]
        one = sender.open(LEASE, 1)
        one.add("a")
        await sender.drained(20)
        assert one.done
        other = sender.open("lease-001-001", 1)
        other.add("b")
        other.end()
        await sender.drained(20)
        assert len(transport.requests) == 1

    run(test)


def test_what_the_server_refuses_stops_nothing_else() -> None:
    async def test(transport: FakeTransport, sender: LogSender) -> None:
        transport.failures = [httpx.Response(413)]
        one = sender.open(LEASE, 1)
        one.add("a")
        await sender.drained(20)
        one.add("b")
        one.end()
        await sender.drained(20)
        assert [line[-1] for line in transport.lines[LEASE]] == [".", "b"]

    run(test)
