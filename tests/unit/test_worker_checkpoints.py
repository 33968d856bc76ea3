"""Checkpoints on their way: the newest only, after its reports, and whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tuner.errors import InvalidInput, NotFound
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


SIGNED = "http://store/key?X-Amz-Signature=0abc&method="


class FakeTransport(httpx.AsyncBaseTransport):
    """Keeps uploads, answers them when the gate is open, and serves `served`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.uploads: list[tuple[str, str, bytes]] = []
        self.signs = False
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.stored: list[bytes] = []
        self.store_status = 200
        self.served = b""
        self.downloads = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        path = request.url.path
        if request.url.host == "store":
            assert "Authorization" not in request.headers
            return self._store(request, body)
        if request.method == "GET":
            self.downloads += 1
            if self.signs and "direct" in request.url.params:
                return httpx.Response(307, headers={"Location": f"{SIGNED}get"})
            return httpx.Response(200, content=self.served)
        if path.endswith("/uploads"):
            place = {"upload": "0" * 16, "url": f"{SIGNED}put", "headers": {"x-bound": "1"}}
            return httpx.Response(200, json=place if self.signs else {})
        if request.method == "POST":
            self.posted.append((path, json.loads(body)))
            return httpx.Response(200, json={"state": "waiting"})
        self.begun.set()
        await self.gate.wait()
        assert int(request.headers["Content-Length"]) == len(body)
        self.uploads.append((request.url.path, request.url.query.decode(), body))
        return httpx.Response(200, json={"attempt": 2, "step": 1, "sha256": "", "size": 1})

    def _store(self, request: httpx.Request, body: bytes) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(self.store_status, content=self.served)
        assert request.headers["x-bound"] == "1"
        self.stored.append(body)
        return httpx.Response(self.store_status)


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


def test_files_go_to_the_store_where_the_server_can_sign(tmp_path: Path) -> None:
    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        transport.signs = True
        (tmp_path / "a").write_bytes(b"whole")
        sha256 = hashlib.sha256(b"whole").hexdigest()
        said = {"attempt": 2, "sha256": sha256, "size": 5, "upload": "0" * 16}
        await api.upload(GRANT, 3, tmp_path / "a")
        await api.keep(GRANT, "b/c.txt", tmp_path / "a")
        assert transport.stored == [b"whole", b"whole"]
        assert transport.uploads == []
        assert transport.posted == [
            ("/api/v1/leases/lease-one/checkpoints/3", said),
            ("/api/v1/leases/lease-one/artifacts", {**said, "name": "b/c.txt"}),
        ]
        transport.served = b"whole"
        view = CheckpointView(attempt=1, step=3, sha256=sha256, size=5)
        await api.download(GRANT, view, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b"whole"
        assert transport.downloads == 1

    drive(scenario)


def test_a_store_that_refuses_is_gone_round(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        transport.signs, transport.store_status = True, 403
        transport.gate.set()
        (tmp_path / "a").write_bytes(b"whole")
        sha256 = hashlib.sha256(b"whole").hexdigest()
        await api.keep(GRANT, "b/c.txt", tmp_path / "a")
        ((path, query, body),) = transport.uploads
        assert (path, body) == ("/api/v1/leases/lease-one/artifacts", b"whole")
        assert query == f"attempt=2&sha256={sha256}&name=b%2Fc.txt"
        assert transport.posted == []
        transport.served = b"whole"
        view = CheckpointView(attempt=1, step=3, sha256=sha256, size=5)
        await api.download(GRANT, view, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b"whole"
        assert transport.downloads == 2

    drive(scenario)
    assert "the artifact store answered 403" in caplog.text
    assert "0abc" not in caplog.text


@pytest.mark.parametrize("status", [200, 403], ids=["from the store", "round it"])
def test_another_trials_checkpoint_is_fetched(tmp_path: Path, status: int) -> None:
    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        transport.signs, transport.store_status = True, status
        transport.served = b"weights"
        await api.source(GRANT, "other", "best", tmp_path / "start")
        assert (tmp_path / "start").read_bytes() == b"weights"

    drive(scenario)


def test_a_checkpoint_that_is_gone_is_told(tmp_path: Path) -> None:
    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        transport.signs, transport.store_status = True, 404
        view = CheckpointView(attempt=1, step=3, sha256="0" * 64, size=5)
        with pytest.raises(NotFound, match="no such file"):
            await api.download(GRANT, view, tmp_path / "back")
        after = await api.reject(GRANT, view, "gone")
        assert after.state == "waiting"
        body = {"attempt": 2, "sha256": "0" * 64, "reason": "gone"}
        assert transport.posted == [("/api/v1/leases/lease-one/checkpoint/reject", body)]

    drive(scenario)


def test_all_files_go_and_of_checkpoints_the_newest(tmp_path: Path) -> None:
    async def scenario(transport: FakeTransport, api: WorkerApi, link: Link) -> None:
        transport.gate.set()
        spool = Spool(tmp_path / "spool", "http://server", limit=10)
        uploader = Uploader(api, Batcher(api, spool, link, lambda _: None), GRANT)
        for name in "abc":
            (tmp_path / name).write_text(name)
            uploader.keep(name, tmp_path / name)
        for step in (1, 2):
            (tmp_path / str(step)).write_text(str(step))
            uploader.put(step, tmp_path / str(step))
        assert await uploader.drain(30.0)
        assert sorted(body for _, _, body in transport.uploads) == [b"2", b"a", b"b", b"c"]
        assert not any((tmp_path / name).exists() for name in "abc12")

    drive(scenario)
