"""Checkpoints on their way: the newest only, after its reports, and whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tuner.errors import InvalidInput
from tuner.wire import CheckpointView, LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher
from tuner.worker.checkpoints import Uploader
from tuner.worker.link import Link
from tuner.worker.spool import Spool

GRANT = LeaseGrant(
    lease="lease-one",
    study_id=1,
    study="s",
    number=0,
    attempt=2,
    params={},
    seed=0,
    steps=None,
    metric="m",
    mode="min",
    run={},
)


class FakeTransport(httpx.AsyncBaseTransport):
    """Keeps uploads, answers them when the gate is open, and serves `served`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.uploads: list[tuple[str, str, bytes]] = []
        self.served = b""
        self.downloads = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if request.method == "GET":
            self.downloads += 1
            return httpx.Response(200, content=self.served)
        self.begun.set()
        await self.gate.wait()
        assert int(request.headers["Content-Length"]) == len(body)
        self.uploads.append((request.url.path, request.url.query.decode(), body))
        return httpx.Response(200, json={"attempt": 2, "step": 1, "sha256": "", "size": 1})


def drive(scenario: Callable[[FakeTransport, WorkerApi, Link], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        transport, link = FakeTransport(), Link("http://server")
        api = WorkerApi("http://server", "t", link, request_timeout=5.0, transport=transport)
        async with asyncio.timeout(30), api:
            await scenario(transport, api, link)

    asyncio.run(main())


def test_of_several_that_wait_the_newest_goes(tmp_path: Path) -> None:
    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        spool = Spool(tmp_path / "spool", "http://server", limit=10)
        uploader = Uploader(api, Batcher(api, spool, link, lambda _: None), GRANT)
        files = [tmp_path / str(step) for step in range(1, 5)]
        for step, path in enumerate(files, 1):
            path.write_bytes(b"%d" % step)
            uploader.put(step, path)
            await transport.begun.wait()
        assert not await uploader.drain(0.0)
        transport.gate.set()
        assert await uploader.drain(30.0)
        sums = [hashlib.sha256(body).hexdigest() for body in (b"1", b"4")]
        assert transport.uploads == [
            (
                f"/api/v1/leases/lease-one/checkpoints/{step}",
                f"attempt=2&sha256={sha}",
                b"%d" % step,
            )
            for step, sha in zip((1, 4), sums, strict=True)
        ]
        assert not [path for path in files if path.exists()]

    drive(scenario)


@pytest.mark.parametrize("right", [True, False])
def test_a_download_is_checked(tmp_path: Path, right: bool) -> None:
    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        transport.served = b"whole" if right else b"who"
        sha256 = hashlib.sha256(b"whole").hexdigest()
        view = CheckpointView(attempt=1, step=3, sha256=sha256, size=5)
        path = tmp_path / "file"
        if right:
            await api.download(GRANT, view, path)
            assert path.read_bytes() == b"whole"
        else:
            with pytest.raises(InvalidInput, match="wrong hash"):
                await api.download(GRANT, view, path)
            assert transport.downloads == 3

    drive(scenario)
