"""A worker whose server is overloaded sends the same again, no sooner than it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tuner.errors import Unavailable
from tuner.wire import (
    AcquireLeases,
    FinishTrial,
    Heartbeat,
    ReleaseTrial,
    ReportItem,
)
from tuner.worker.api import WorkerApi
from tuner.worker.link import Link

URL = "http://server"
AFTER = {"state": "ended", "outcome": "complete"}
ITEM = ReportItem(lease="lease-one", attempt=1, step=1, value=1.0)
Write = Callable[[WorkerApi], Awaitable[object]]


def overloaded(after: str) -> httpx.Response:
    document = {
        "type": "urn:tuner:problem/unavailable",
        "title": "The service is not available",
        "status": 503,
        "detail": "the server is overloaded",
    }
    headers = {"Retry-After": after, "Content-Type": "application/problem+json"}
    return httpx.Response(503, json=document, headers=headers)


def ask(replies: list[httpx.Response], write: Write) -> list[httpx.Request]:
    """Answer a write with the replies in turn; return the requests."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return replies.pop(0)

    async def run() -> None:
        transport = httpx.MockTransport(answer)
        api = WorkerApi(URL, "t", Link(URL), request_timeout=5.0, transport=transport)
        async with api:
            await write(api)

    asyncio.run(run())
    return seen


@pytest.mark.parametrize(
    ("write", "reply"),
    [
        (lambda api: api.report([ITEM]), {"results": [{"decision": {}}]}),
        (lambda api: api.finish("lease-one", FinishTrial(attempt=1)), AFTER),
        (lambda api: api.release("lease-one", ReleaseTrial(attempt=1)), AFTER),
        (lambda api: api.acquire(AcquireLeases(worker_id="a-worker")), {"leases": []}),
    ],
    ids=["report", "finish", "release", "acquire"],
)
def test_the_same_is_sent_again(write: Write, reply: dict[str, object]) -> None:
    replies = [overloaded("0"), overloaded("0"), httpx.Response(200, json=reply)]
    requests = ask(replies, write)
    assert len(requests) == 3
    assert len({(r.url, r.content, r.headers.get("Idempotency-Key")) for r in requests}) == 1


def test_it_is_not_sent_before_the_time_the_server_asks_for() -> None:
    replies = [overloaded("60"), httpx.Response(200, json={"results": [], "known": True})]

    async def beat(api: WorkerApi) -> None:
        with pytest.raises(Unavailable):
            await api.heartbeat(Heartbeat(worker_id="a-worker", leases=[]), patience=5.0)

    requests = ask(replies, beat)
    assert len(requests) == 1  # 60 s would pass the 5 s of patience
