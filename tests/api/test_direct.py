"""Files that go from worker to store directly: signed for a lease, and counted when they are there.

The store is moto's S3 server; what it is sent is what a worker would send.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.limits.settings import Limits, Quota
from storage.check import check
from storage.stores import open_store
from tests.api.node import Node, serve, slug
from tests.api.test_artifacts import RATED, put
from tests.api.test_files import get, keep
from tests.bucket import SECRET, Bucket
from tuner.trial import EventKind
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio


async def ask(
    node: Node, grant: LeaseGrant, body: bytes, step: int | None = None, **changes: Any
) -> httpx.Response:
    """Ask for a place for a file."""
    wish = {
        "attempt": grant.attempt,
        "step": step,
        "sha256": hashlib.sha256(body).hexdigest(),
        "size": len(body),
        **changes,
    }
    return await node.post(f"/leases/{grant.lease}/uploads", wish)


def send(place: dict[str, Any], body: bytes) -> None:
    reply = httpx.put(place["url"], headers=place["headers"], content=body, trust_env=False)
    assert reply.status_code == 200, reply.text


def said(grant: LeaseGrant, place: dict[str, Any], body: bytes, **more: Any) -> dict[str, Any]:
    return {
        "attempt": grant.attempt,
        "upload": place["upload"],
        "sha256": hashlib.sha256(body).hexdigest(),
        "size": len(body),
        **more,
    }


async def store(node: Node, grant: LeaseGrant, step: int, body: bytes) -> httpx.Response:
    """Put a checkpoint into the store and register it."""
    place = (await ask(node, grant, body, step)).json()
    send(place, body)
    path = f"/leases/{grant.lease}/checkpoints/{step}"
    return await node.post(path, said(grant, place, body))


async def test_a_checkpoint_goes_there_and_back(
    tmp_path: Path, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "api")
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        study = await node.submit(**RATED)
        grant = await node.ask()
        await node.report(grant, 1, 0.5)
        reply = await store(node, grant, 1, b"weights")
        assert (reply.status_code, reply.json()["size"]) == (200, 7)
        (key,) = bucket.held()
        assert key.startswith(f"{study.id}/0/1-1-")
        assert bucket.read(key) == b"weights"
        await node.release(grant)
        new = await node.ask()
        assert new.resume is not None
        path = f"/api/v1/leases/{new.lease}/checkpoint"
        away = await node.http.get(path, params={"direct": "true"})
        assert away.status_code == 307
        assert httpx.get(away.headers["location"], trust_env=False).content == b"weights"
        through = await node.http.get(path)
        assert (through.status_code, through.content) == (200, b"weights")
    log = [r.getMessage() for r in caplog.records if r.name.startswith("api")]
    assert log
    assert not [line for line in log if SECRET in line or "X-Amz-Signature" in line]
    url = f"sqlite:///{tmp_path}/tuner.db"
    assert check(url, artifacts=open_store(bucket.url), hashes=True) == []


async def test_artifacts_go_there_and_are_shown_by_the_server(
    tmp_path: Path, bucket: Bucket
) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        place = (await ask(node, grant, b"0123456789")).json()
        send(place, b"0123456789")
        body = said(grant, place, b"0123456789", name="a/log.txt")
        path = f"/leases/{grant.lease}/artifacts"
        for _ in range(2):  # sent again, as after a lost reply
            assert (await node.post(path, body)).status_code == 200
        (item,) = (await get(node, "artifacts")).json()["items"]
        assert (item["name"], item["size"]) == ("a/log.txt", 10)
        part = await get(node, "artifacts/content", {"Range": "bytes=3-5"}, name="a/log.txt")
        assert (part.status_code, part.content) == (206, b"345")
        shown = await get(node, "artifacts/preview", name="a/log.txt")
        assert (shown.status_code, shown.text) == (200, "0123456789")


async def test_the_server_takes_what_does_not_go_directly(tmp_path: Path, bucket: Bucket) -> None:
    async with serve(tmp_path, artifact_url=bucket.url, direct=False) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        assert (await ask(node, grant, b"weights", 1)).json()["url"] is None
        assert (await put(node, grant, 1, b"weights")).status_code == 200
        assert (await keep(node, grant, "a", b"file")).status_code == 200
        assert [bucket.read(key) for key in bucket.held()] == [b"weights", b"file"]
        path = f"/api/v1/leases/{grant.lease}/checkpoint"
        reply = await node.http.get(path, params={"direct": "true"})
        assert (reply.status_code, reply.content) == (200, b"weights")
        staging = tmp_path / "artifacts"
        assert not [p for p in staging.rglob("*") if p.is_file()]


async def test_without_a_store_that_signs_there_is_no_place(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        place = (await ask(node, grant, b"weights", 1)).json()
        assert (place["url"], place["upload"], place["headers"]) == (None, None, {})


async def test_what_is_not_in_the_store_does_not_count(tmp_path: Path, bucket: Bucket) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        place = (await ask(node, grant, b"weights", 1)).json()
        path = f"/leases/{grant.lease}/checkpoints/1"
        missing = await node.post(path, said(grant, place, b"weights"))
        assert (missing.status_code, slug(missing.json()["type"])) == (422, "invalid-input")
        send(place, b"weights")
        longer = await node.post(path, said(grant, place, b"weights and more"))
        assert "7 bytes of it instead of 16" in longer.json()["detail"]
        other = await node.post(path, said(grant, place, b"weightz"))
        assert "another sha256" in other.json()["detail"]
        assert node.trial(grant).checkpoint is None
        assert (await node.post(path, said(grant, place, b"weights"))).status_code == 200


async def test_places_are_for_those_who_hold_a_lease(tmp_path: Path, bucket: Bucket) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED)
        old = await node.ask()
        late = (await ask(node, old, b"weights", 1)).json()
        send(late, b"weights")
        await node.release(old)
        new = await node.ask()
        for grant, attempt in ((old, 1), (old, 2), (new, 1)):
            refused = await ask(node, grant, b"x", 1, attempt=attempt)
            assert (refused.status_code, slug(refused.json()["type"])) == (409, "stale-attempt")
        path = f"/leases/{old.lease}/checkpoints/1"
        assert (await node.post(path, said(old, late, b"weights"))).status_code == 409
        # another attempt's upload has another place
        path = f"/leases/{new.lease}/checkpoints/1"
        assert (await node.post(path, said(new, late, b"weights"))).status_code == 422
        assert node.trial(new).checkpoint is None


@pytest.mark.parametrize("upload", ["../../../etc", "0123456789abcde/", "", "G" * 16])
async def test_nobody_chooses_the_place(tmp_path: Path, bucket: Bucket, upload: str) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        body = said(grant, {"upload": upload}, b"x")
        assert (await node.post(f"/leases/{grant.lease}/checkpoints/1", body)).status_code == 422


async def test_limits_hold_before_anything_is_sent(tmp_path: Path, bucket: Bucket) -> None:
    limits = Limits(rate=0.0, max_artifact=100, quotas={"*": Quota(artifact_bytes=50)})
    async with serve(tmp_path, artifact_url=bucket.url, limits=limits) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        assert (await ask(node, grant, b"x" * 101)).status_code == 413
        refused = await ask(node, grant, b"x" * 51)
        assert (refused.status_code, slug(refused.json()["type"])) == (409, "quota-reached")


async def reject(node: Node, grant: LeaseGrant) -> httpx.Response:
    assert grant.resume is not None
    body = {"attempt": grant.attempt, "sha256": grant.resume.sha256, "reason": "wrong hash"}
    return await node.post(f"/leases/{grant.lease}/checkpoint/reject", body)


async def trained(node: Node, steps: int) -> LeaseGrant:
    grant = await node.ask()
    for step in range(1, steps + 1):
        await node.report(grant, step, 1.0 / step)
        assert (await store(node, grant, step, b"weights %d" % step)).status_code == 200
    await node.release(grant)
    return await node.ask()


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
async def test_a_damaged_checkpoint_leads_to_the_one_before(
    tmp_path: Path, bucket: Bucket, damage: str
) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        study = await node.submit(**RATED)
        grant = await trained(node, 3)
        (newest,) = [key for key in bucket.held() if "/1-3-" in key]
        if damage == "gone":
            bucket.delete(newest)
        else:
            bucket.write(newest, b"weights X" if damage == "changed" else b"weigh")
        for _ in range(2):  # sent again, as after a lost reply
            reply = await reject(node, grant)
            assert (reply.status_code, reply.json()["state"]) == (200, "waiting")
        again = await node.ask()
        assert again.resume is not None
        assert (again.attempt, again.resume.step) == (3, 2)
        assert [r.step for r in node.trial(again).reports] == [1, 2]
        assert node.trial(again).failures == 0
        detail = (await node.http.get(f"/api/v1/studies/{study.id}/trials/0")).json()
        (told,) = [e["data"] for e in detail["events"] if e["kind"] == EventKind.MISSING]
        assert told["resumes_from"] == 2
        assert [i["step"] for i in (await get(node, "checkpoints")).json()["items"]] == [2]
        assert not [key for key in bucket.held() if "/1-3-" in key]


async def test_without_another_one_it_starts_anew(tmp_path: Path, bucket: Bucket) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED)
        grant = await trained(node, 1)
        bucket.delete(bucket.held()[0])
        await reject(node, grant)
        again = await node.ask()
        assert (again.resume, again.lr_factor) == (None, 1.0)
        assert node.trial(again).reports == ()


async def test_a_worker_that_refuses_a_sound_one_is_at_fault(
    tmp_path: Path, bucket: Bucket
) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED, retry={"max": 1})
        grant = await trained(node, 2)
        assert (await reject(node, grant)).json()["state"] == "waiting"
        again = await node.ask()
        assert again.resume is not None
        assert (again.resume.step, node.trial(again).failures) == (2, 1)
        after = (await reject(node, again)).json()
        assert (after["state"], after["outcome"]) == ("ended", "failed")
        assert len(bucket.held()) == 2


async def test_after_a_restart_what_is_missing_is_known(tmp_path: Path, bucket: Bucket) -> None:
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, 3))
        (newest,) = [key for key in bucket.held() if "/1-3-" in key]
        bucket.delete(newest)
    async with serve(tmp_path, artifact_url=bucket.url) as node:
        again = await node.ask()
        assert again.resume is not None
        assert again.resume.step == 2
