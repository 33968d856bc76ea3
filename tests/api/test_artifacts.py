"""Checkpoints: whole or not at all, fenced, and the place where the next attempt goes on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.files.mark import MARK
from tests.api.node import Node, serve, slug
from tuner.trial import EventKind
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
HALVE = {"name": "halve_on_plateau", "patience": 0, "threshold_mode": "abs", "threshold": 0.01}
RATED = {"space": {"lr": {"min": 0.1, "max": 1.0}}, "budget": {"trials": 9, "steps": 99}}


async def put(
    node: Node,
    grant: LeaseGrant,
    step: int,
    body: bytes | AsyncIterator[bytes],
    sha256: str | None = None,
    attempt: int | None = None,
    media: str = "application/octet-stream",
) -> httpx.Response:
    if sha256 is None:
        assert isinstance(body, bytes)
        sha256 = hashlib.sha256(body).hexdigest()
    return await node.http.put(
        f"/api/v1/leases/{grant.lease}/checkpoints/{step}",
        params={"attempt": attempt or grant.attempt, "sha256": sha256},
        content=body,
        headers={"Content-Type": media},
    )


def files(node: Node) -> list[str]:
    """Return what lies in the store, but for its mark."""
    root = node.services.settings.artifact_dir
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    return sorted(found - {MARK})


async def test_the_next_attempt_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED, policies=[HALVE])
        grant = await node.ask()
        level = 1.0
        for step in (1, 2, 3):  # a cut after 2, and one after 3
            level = (await node.report(grant, step, 1.0, level)).lr_factor
            if step == 2:
                assert (await put(node, grant, 2, b"weights")).status_code == 200
        assert level == 0.25
        await node.release(grant)
        new = await node.ask()
        assert new.resume is not None
        assert (new.resume.step, new.resume.attempt, new.resume.size) == (2, 1, 7)
        assert (new.attempt, new.lr_factor) == (2, 0.5)
        assert [r.step for r in node.trial(new).reports] == [1, 2]
        fetched = await node.http.get(f"/api/v1/leases/{new.lease}/checkpoint")
        assert fetched.content == b"weights"
        assert hashlib.sha256(fetched.content).hexdigest() == new.resume.sha256
        assert (await node.report(new, 3, 1.0, 0.5)).lr_factor == 0.25
        detail = (await node.http.get(f"/api/v1/studies/{study.id}/trials/0")).json()
        assert [(r["attempt"], r["step"]) for r in detail["reports"]] == [
            (1, 1),
            (1, 2),
            (1, 3),
            (2, 3),
        ]
        assert sum(e["kind"] == EventKind.CHECKPOINT for e in detail["events"]) == 1


async def test_a_restart_keeps_the_checkpoint(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await node.report(grant, 1, 1.0)
        await put(node, grant, 1, b"weights")
        await node.release(grant)
    async with serve(tmp_path) as node:
        new = await node.ask()
        assert new.resume is not None
        fetched = await node.http.get(f"/api/v1/leases/{new.lease}/checkpoint")
        assert (new.resume.step, fetched.content) == (1, b"weights")


async def broken() -> AsyncIterator[bytes]:
    yield b"wei"


@pytest.mark.parametrize(
    ("body", "sha256"),
    [
        (b"weights", hashlib.sha256(b"other").hexdigest()),
        (b"weigh", hashlib.sha256(b"weights").hexdigest()),  # truncated
        (broken(), hashlib.sha256(b"weights").hexdigest()),  # truncated, of unknown length
        (b"", hashlib.sha256(b"").hexdigest()),
    ],
)
async def test_what_is_not_whole_leaves_the_previous_one(
    tmp_path: Path, body: bytes | AsyncIterator[bytes], sha256: str
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await put(node, grant, 1, b"first")
        before = files(node)
        reply = await put(node, grant, 2, body, sha256)
        assert (reply.status_code, slug(reply.json()["type"])) == (422, "invalid-input")
        assert files(node) == before
        checkpoint = node.trial(grant).checkpoint
        assert checkpoint is not None
        assert checkpoint.step == 1


async def test_the_last_two_stay(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED)
        grant = await node.ask()
        for step in range(1, 13):
            await put(node, grant, step, f"weights {step}".encode())
        found = files(node)
        assert [f.rpartition("/")[2].split("-")[1] for f in found] == ["11", "12"]
        assert all(f.startswith(f"{study.id}/0/1-") for f in found)


async def test_sent_again_or_late_changes_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await put(node, grant, 5, b"five")
        for step, body in ((5, b"five"), (4, b"four")):
            reply = await put(node, grant, step, body)
            assert (reply.status_code, reply.json()["step"]) == (200, 5)
        fetched = await node.http.get(f"/api/v1/leases/{grant.lease}/checkpoint")
        assert fetched.content == b"five"


async def test_a_stale_attempt_registers_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        old = await node.ask()
        await node.release(old)
        new = await node.ask()
        for grant, attempt in ((old, 1), (old, 2), (new, 1)):
            reply = await put(node, grant, 1, b"weights", attempt=attempt)
            assert (reply.status_code, slug(reply.json()["type"])) == (409, "stale-attempt")
        assert (files(node), node.trial(new).checkpoint) == ([], None)
        assert (await node.http.get(f"/api/v1/leases/{old.lease}/checkpoint")).status_code == 409
        assert (await node.http.get(f"/api/v1/leases/{new.lease}/checkpoint")).status_code == 404


async def test_a_lease_lost_during_the_upload_registers_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()

        async def slow() -> AsyncIterator[bytes]:
            yield b"wei"
            await node.release(grant)
            yield b"ghts"

        reply = await put(node, grant, 1, slow(), hashlib.sha256(b"weights").hexdigest())
        assert (reply.status_code, slug(reply.json()["type"])) == (409, "stale-attempt")
        assert node.trial(grant).checkpoint is None
        assert (await node.ask()).resume is None


async def test_larger_than_allowed(tmp_path: Path) -> None:
    async with serve(tmp_path, max_checkpoint=10) as node:
        await node.submit(**RATED)
        grant = await node.ask()

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1000):
                yield b"12345"

        for body in (b"12345678901", endless()):
            reply = await put(node, grant, 1, body, "0" * 64)
            assert reply.status_code == 413
        assert files(node) == []


@pytest.mark.parametrize(
    ("lease", "step", "sha256", "status"),
    [
        ("..%2f..%2fetc", "1", "0" * 64, 404),
        ("%252e%252e", "1", "0" * 64, 422),
        ("lease-of-nobody", "1", "0" * 64, 409),
        ("lease-of-nobody", "../1", "0" * 64, 404),
        ("lease-of-nobody", "-1", "0" * 64, 422),
        ("lease-of-nobody", "9999999999", "0" * 64, 422),
        ("lease-of-nobody", "1", "../../../../etc/passwd", 422),
        ("lease-of-nobody", "1", "0" * 63 + "/", 422),
        ("lease%00of-nobody", "1", "0" * 64, 422),
    ],
)
async def test_nothing_leaves_the_folder(
    tmp_path: Path, lease: str, step: str, sha256: str, status: int
) -> None:
    async with serve(tmp_path) as node:
        reply = await node.http.put(
            f"/api/v1/leases/{lease}/checkpoints/{step}",
            params={"attempt": 1, "sha256": sha256},
            content=b"x",
            headers={"Content-Type": "application/octet-stream"},
        )
        assert reply.status_code == status, reply.text
        assert reply.headers["content-type"] == "application/problem+json"
        assert files(node) == []


async def test_another_media_type_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        reply = await put(node, await node.ask(), 1, b"x", media="application/json")
        assert (reply.status_code, files(node)) == (415, [])
