"""What a trial keeps: artifacts in and out, kept checkpoints, previews that run nothing."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.files import mark, orphans
from api.limits.settings import Limits, Quota
from storage.check import check, spare_files
from storage.stores import FolderStore
from tests.api.node import Clock, Node, serve, slug
from tests.api.test_artifacts import RATED, files, put
from tuner.errors import NotFound
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
ALL = timedelta(minutes=-5)
"""Files written until five minutes from now are old."""


async def keep(node: Node, grant: LeaseGrant, name: str, body: bytes, **how: Any) -> httpx.Response:
    sha256 = how.get("sha256", hashlib.sha256(body).hexdigest())
    return await node.http.put(
        f"/api/v1/leases/{grant.lease}/artifacts",
        params={"attempt": how.get("attempt", grant.attempt), "sha256": sha256, "name": name},
        content=body,
        headers={"Content-Type": how.get("media", "application/octet-stream")},
    )


async def get(
    node: Node, path: str, headers: Mapping[str, str] | None = None, **query: Any
) -> httpx.Response:
    return await node.http.get(
        f"/api/v1/studies/s/trials/0/{path}", params=query, headers=dict(headers or {})
    )


async def test_kept_listed_and_downloaded(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        assert (await keep(node, grant, "plots/loss.png", PNG)).status_code == 200
        assert (await keep(node, grant, "a.csv", b"x,y\n1,2\n")).status_code == 200
        assert (await keep(node, grant, "empty", b"")).status_code == 200
        items = (await get(node, "artifacts")).json()["items"]
        assert [(i["name"], i["size"], i["preview"]) for i in items] == [
            ("a.csv", 8, "text"),
            ("empty", 0, None),
            ("plots/loss.png", len(PNG), "image"),
        ]
        reply = await get(node, "artifacts/content", name="plots/loss.png")
        assert (reply.status_code, reply.content) == (200, PNG)
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.headers["content-length"] == str(len(PNG))
        assert reply.headers["etag"] == f'"{hashlib.sha256(PNG).hexdigest()}"'
        assert (await get(node, "artifacts/content", name="empty")).content == b""
        assert (await get(node, "artifacts/content", name="nothing")).status_code == 404


async def test_pages_of_artifacts(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        for n in (3, 1, 2):
            await keep(node, grant, f"{n}.txt", b"x")
        seen, cursor = [], None
        while True:
            query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
            page = (await get(node, "artifacts", None, **query)).json()
            seen += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == ["1.txt", "2.txt", "3.txt"]


async def test_a_later_one_of_a_name_takes_its_place(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED)
        grant = await node.ask()
        await keep(node, grant, "log.txt", b"first")
        await keep(node, grant, "log.txt", b"second, longer")
        assert (await get(node, "artifacts/content", name="log.txt")).content == b"second, longer"
        assert len(files(node)) == 1
        assert node.services.ledger.memory.held_bytes(study.id) == 14


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-", 206, b"89"),
        ("bytes=99-", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
    ],
)
async def test_a_range_is_given(tmp_path: Path, wanted: str, status: int, part: bytes) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await keep(node, await node.ask(), "digits", b"0123456789")
        reply = await get(node, "artifacts/content", {"Range": wanted}, name="digits")
        assert (reply.status_code, reply.content) == (status, part)
        if status == 206:
            first = b"0123456789".index(part)
            assert reply.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/10"


async def test_names_are_written_safely_into_headers(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        name = 'a/naïve "q" %41;=☃.txt'
        assert (await keep(node, await node.ask(), name, b"x")).status_code == 200
        reply = await get(node, "artifacts/content", name=name)
        said = reply.headers["content-disposition"]
        assert said == (
            'attachment; filename="na_ve _q_ _41;=_.txt"; '
            "filename*=UTF-8''na%C3%AFve%20%22q%22%20%2541%3B%3D%E2%98%83.txt"
        )


@pytest.mark.parametrize(
    ("name", "body", "media", "shown"),
    [
        ("a.csv", b"x,y\n1,2\n", "text/plain; charset=utf-8", b"x,y\n1,2\n"),
        ("a.json", b'{"a": 1}', "text/plain; charset=utf-8", b'{"a": 1}'),
        # what a browser would run is shown as text
        ("x.html", b"<script>alert(1)</script>", "text/plain; charset=utf-8", None),
        ("x.svg", b"<svg onload='alert(1)'/>", "text/plain; charset=utf-8", None),
        # by its content, not its name
        ("x.html", PNG, "image/png", None),
        ("x.png", b"<script>alert(1)</script>", "text/plain; charset=utf-8", None),
        ("x.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "image/jpeg", None),
        # a character cut at the end of the head
        ("u.txt", b"x" * 65_535 + "é".encode(), "text/plain; charset=utf-8", b"x" * 65_535),
    ],
)
async def test_a_preview_runs_nothing(
    tmp_path: Path, name: str, body: bytes, media: str, shown: bytes | None
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await keep(node, await node.ask(), name, body)
        reply = await get(node, "artifacts/preview", name=name)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"] == media
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert reply.content == (body if shown is None else shown)
        whole = await get(node, "artifacts/content", name=name)
        assert whole.headers["content-disposition"].startswith("attachment")
        assert whole.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("body", [b"\x00\x01\x02", b"%PDF-1.7\x00", b"\xff\xfe\x41\x00"])
async def test_other_files_have_no_preview(tmp_path: Path, body: bytes) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await keep(node, await node.ask(), "x.txt", body)
        reply = await get(node, "artifacts/preview", name="x.txt")
        assert (reply.status_code, slug(reply.json()["type"])) == (404, "not-found")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\\b", "a\x00b", "", "a/../b", "x" * 500])
async def test_bad_names_are_refused_everywhere(tmp_path: Path, name: str) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        for reply in (
            await keep(node, grant, name, b"x"),
            await get(node, "artifacts/content", name=name),
            await get(node, "artifacts/preview", name=name),
        ):
            assert reply.status_code == 422, reply.text
        assert files(node) == []


async def test_what_is_not_whole_is_not_kept(tmp_path: Path) -> None:
    async with serve(tmp_path, limits=Limits(rate=0.0, max_artifact=10, artifacts_each=1)) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        wrong = await keep(node, grant, "a", b"x", sha256="0" * 64)
        assert (wrong.status_code, slug(wrong.json()["type"])) == (422, "invalid-input")
        assert (await keep(node, grant, "a", b"12345678901")).status_code == 413
        assert (await keep(node, grant, "a", b"x", media="text/plain")).status_code == 415
        assert (await keep(node, grant, "a", b"x")).status_code == 200
        many = await keep(node, grant, "b", b"x")
        assert (many.status_code, slug(many.json()["type"])) == (409, "conflict")
        assert (await keep(node, grant, "a", b"again")).status_code == 200
        assert len(files(node)) == 1


async def test_files_count_towards_the_quota(tmp_path: Path) -> None:
    limits = Limits(rate=0.0, quotas={"*": Quota(artifact_bytes=20)})
    async with serve(tmp_path, limits=limits) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        assert (await keep(node, grant, "a", b"x" * 8)).status_code == 200
        assert (await put(node, grant, 1, b"x" * 8)).status_code == 200
        refused = await keep(node, grant, "b", b"x" * 8)
        assert (refused.status_code, slug(refused.json()["type"])) == (409, "quota-reached")
        assert (await keep(node, grant, "a", b"x" * 12)).status_code == 200
        (project,) = (await node.http.get("/api/v1/projects")).json()["items"]
        assert project["artifact_bytes"] == {"used": 20, "limit": 20}
        assert len(files(node)) == 2
    async with serve(tmp_path, limits=limits) as node:
        (study,) = node.services.ledger.memory.studies()
        assert node.services.ledger.memory.held_bytes(study.study_id) == 20


async def test_a_stale_attempt_keeps_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        old = await node.ask()
        await node.release(old)
        new = await node.ask()
        for grant, attempt in ((old, 1), (old, 2), (new, 1)):
            reply = await keep(node, grant, "a", b"x", attempt=attempt)
            assert (reply.status_code, slug(reply.json()["type"])) == (409, "stale-attempt")
        assert files(node) == []


async def test_after_its_end_a_trial_may_keep_files_for_a_while(tmp_path: Path) -> None:
    """A decision to stop ends it on the server while its code still runs."""
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await node.report(grant, 1, 1.0)
        await node.finish(grant, outcome="complete")
        assert (await keep(node, grant, "a", b"x")).status_code == 200
        assert (await put(node, grant, 1, b"weights")).status_code == 200
        assert (await put(node, grant, 2, b"weights 2")).status_code == 200
        assert (await put(node, grant, 3, b"weights 3")).status_code == 200
        kept = (await get(node, "checkpoints")).json()["items"]
        marks = [(k["step"], k["best"], k["last"]) for k in kept]
        assert marks == [(1, True, False), (2, False, False), (3, False, True)]
        checkpoint = node.trial(grant).checkpoint
        assert checkpoint is not None
        assert (checkpoint.step, node.trial(grant).outcome) == (3, "complete")
        forged = grant.model_copy(update={"lease": f"{grant.lease[:-4]}AAAA"})
        assert (await keep(node, forged, "b", b"x")).status_code == 409
        clock.jump += 660
        assert (await keep(node, grant, "b", b"x")).status_code == 409
        assert len(files(node)) == 4
    url = f"sqlite:///{tmp_path}/tuner.db"
    assert check(url, artifacts=tmp_path / "artifacts", hashes=True) == []
    async with serve(tmp_path) as node:
        assert node.trial(grant).checkpoint == checkpoint


async def test_a_cancelled_trial_keeps_nothing_more(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED)
        grant = await node.ask()
        await node.http.patch(f"/api/v1/studies/{study.id}", json={"state": "cancelled"})
        assert (await keep(node, grant, "a", b"x")).status_code == 409


async def test_the_best_checkpoint_stays_with_the_last_two(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED)
        grant = await node.ask()
        for step, value in enumerate((0.5, 0.1, 0.4, 0.3, 0.2), 1):
            await node.report(grant, step, value)
            await put(node, grant, step, f"weights {step}".encode())
        items = (await get(node, "checkpoints")).json()["items"]
        assert [(i["step"], i["best"], i["last"]) for i in items] == [
            (2, True, False),
            (4, False, False),
            (5, False, True),
        ]
        assert len(files(node)) == 3
        assert node.services.ledger.memory.held_bytes(study.id) == 3 * len(b"weights 1")
        reply = await get(node, "checkpoints/1/2", {"Range": "bytes=8-"})
        assert (reply.status_code, reply.content) == (206, b"2")
        assert "trial-0-step-2.safetensors" in reply.headers["content-disposition"]
        assert (await get(node, "checkpoints/1/3")).status_code == 404
    url = f"sqlite:///{tmp_path}/tuner.db"
    assert check(url, artifacts=tmp_path / "artifacts", hashes=True) == []


async def test_a_trial_goes_on_from_an_earlier_one_of_another(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        for step, value in enumerate((0.5, 0.1, 0.4, 0.3), 1):
            await node.report(grant, step, value)
            await put(node, grant, step, f"weights {step}".encode())
        wish = {"like": 0, "from_checkpoint": True, "step": 2}
        made = await node.post("/studies/s/trials", wish)
        assert (made.status_code, made.json()["last_step"]) == (201, 2)
        gone = await node.post("/studies/s/trials", wish | {"step": 1})
        assert (gone.status_code, slug(gone.json()["type"])) == (409, "conflict")
        assert "it keeps 2, 3, 4" in gone.json()["detail"]
        assert (await node.post("/studies/s/trials", {"step": 2})).status_code == 422
        new = await node.ask()
        assert new.resume is not None
        assert (new.number, new.resume.step) == (1, 2)
        fetched = await node.http.get(f"/api/v1/leases/{new.lease}/checkpoint")
        assert fetched.content == b"weights 2"


async def test_files_go_with_their_study(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED)
        grant = await node.ask()
        await keep(node, grant, "deep/a", b"x")
        await put(node, grant, 1, b"weights")
        await node.http.patch(f"/api/v1/studies/{study.id}", json={"state": "cancelled"})
        assert (await node.http.delete(f"/api/v1/studies/{study.id}")).status_code == 200
        assert files(node) == []
        await node.services.ledger.write(lambda tx: None)
    url = f"sqlite:///{tmp_path}/tuner.db"
    assert check(url, artifacts=tmp_path / "artifacts", hashes=True) == []


async def test_a_lost_artifact_is_found(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await keep(node, await node.ask(), "a.txt", b"x")
        (tmp_path / "artifacts" / files(node)[0]).unlink()
        assert (await get(node, "artifacts/content", name="a.txt")).status_code == 404
        assert (await get(node, "artifacts/preview", name="a.txt")).status_code == 404
    (found,) = check(f"sqlite:///{tmp_path}/tuner.db", artifacts=tmp_path / "artifacts")
    assert (found.rule, found.study, found.trial) == ("artifact", "s", 0)
    assert "a.txt" in found.message


async def test_what_no_row_names_is_swept_when_it_is_old(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await keep(node, grant, "a", b"x")
        await put(node, grant, 1, b"weights")
        kept = files(node)
        for name in ("1/0/1-9-0123456789abcdef.safetensors", "7/0/.x.part", "theirs/readme.txt"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"left")
        url, store = f"sqlite:///{tmp_path}/tuner.db", FolderStore(root)
        assert spare_files(url, store) == 3
        assert await orphans.sweep(node.services) == []
        gone = await orphans.sweep(node.services, old=ALL)
        assert sorted(gone) == ["1/0/1-9-0123456789abcdef.safetensors", "7/0/.x.part"]
        assert set(files(node)) == {*kept, "theirs/readme.txt"}


async def test_a_store_of_another_database_is_not_swept(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        assert await mark.is_ours(node.services)
        assert await mark.is_ours(node.services)
        root = tmp_path / "artifacts"
        (root / mark.MARK).write_text("another\n")
        (root / "1").mkdir()
        (root / "1" / "x").write_bytes(b"theirs")
        assert await orphans.sweep(node.services, old=ALL) == []
        assert (root / "1" / "x").exists()
        (root / mark.MARK).unlink()
        assert await orphans.sweep(node.services, old=ALL) == ["1/x"]


async def test_nothing_is_deleted_in_a_store_of_another_database(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "artifacts"
    root.mkdir()
    (root / mark.MARK).write_text("another\n")
    (root / "1").mkdir()
    (root / "1" / "x").write_bytes(b"theirs")
    async with serve(tmp_path) as node:
        assert "belongs to another database" in caplog.text
        study = await node.submit(**RATED)
        grant = await node.ask()
        for step in range(1, 5):
            await put(node, grant, step, b"weights")
        before = files(node)
        await node.http.patch(f"/api/v1/studies/{study.id}", json={"state": "cancelled"})
        assert (await node.http.delete(f"/api/v1/studies/{study.id}")).status_code == 200
        assert files(node) == before
        assert len(before) == 5


async def test_a_mark_that_can_not_be_read_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: FolderStore, key: str) -> None:
        raise NotFound(f"{key} is gone, or can't be read")

    path = tmp_path / "artifacts" / mark.MARK
    path.parent.mkdir()
    path.write_text("another\n")
    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "open", refused)
        async with serve(tmp_path) as node:
            assert node.services.foreign_store.is_set()
    assert path.read_text() == "another\n"


async def test_a_store_that_can_not_be_marked_is_left_alone_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        async with serve(tmp_path) as node:
            assert node.services.foreign_store.is_set()
    assert not list((tmp_path / "artifacts").iterdir())
    async with serve(tmp_path) as node:
        assert not node.services.foreign_store.is_set()


async def test_a_new_store_is_marked_before_the_first_request(tmp_path: Path) -> None:
    async with serve(tmp_path):
        assert (tmp_path / "artifacts" / mark.MARK).exists()
    async with serve(tmp_path) as node:
        assert not node.services.foreign_store.is_set()
