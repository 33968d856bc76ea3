"""Checkpoints whose files are gone when a server starts: no trial is stuck on them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.files import orphans
from api.files.mark import MARK, NotMounted
from storage.check import check
from storage.stores import FolderStore
from tests.api.node import Node, serve
from tests.api.test_artifacts import RATED, files, put
from tests.disks import Broken
from tuner.errors import Unavailable
from tuner.trial import EventKind
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio


async def trained(node: Node, steps: range, grant: LeaseGrant | None = None) -> LeaseGrant:
    """Report steps and store a checkpoint after each."""
    grant = grant or await node.ask()
    for step in steps:
        await node.report(grant, step, 1.0 / step)
        assert (await put(node, grant, step, f"weights {step}".encode())).status_code == 200
    return grant


def lose(node: Node, *steps: int) -> None:
    root = node.services.settings.artifact_dir
    for name in files(node):
        if int(name.rpartition("/")[2].split("-")[1]) in steps:
            (root / name).unlink()


@contextmanager
def unmounted(root: Path) -> Iterator[None]:
    """Leave an empty folder in the place of a disk, and put the disk back."""
    disk = root.rename(root.with_name("disk"))
    root.mkdir()
    yield
    root.rmdir()
    disk.rename(root)


def missing(detail: dict[str, list[dict[str, object]]]) -> list[object]:
    return [e["data"] for e in detail["events"] if e["kind"] == EventKind.MISSING]


async def test_a_trial_goes_on_from_the_checkpoint_before(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED)
        await node.release(await trained(node, range(1, 5)))
        lose(node, 4)
    async with serve(tmp_path) as node:
        new = await node.ask()
        assert new.resume is not None
        assert (new.resume.step, new.lr_factor) == (3, 1.0)
        assert [r.step for r in node.trial(new).reports] == [1, 2, 3]
        fetched = await node.http.get(f"/api/v1/leases/{new.lease}/checkpoint")
        assert fetched.content == b"weights 3"
        detail = (await node.http.get(f"/api/v1/studies/{study.id}/trials/0")).json()
        ((told),) = missing(detail)
        assert isinstance(told, dict)
        assert told["resumes_from"] == 3
    url = f"sqlite:///{tmp_path}/tuner.db"
    assert check(url, artifacts=tmp_path / "artifacts", hashes=True) == []


async def test_without_any_it_starts_anew(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 4)))
        lose(node, 2, 3)
    for _ in range(2):  # the second start has nothing left to do
        async with serve(tmp_path) as node:
            detail = (await node.http.get("/api/v1/studies/s/trials/0")).json()
            assert len(missing(detail)) == 1
    async with serve(tmp_path) as node:
        new = await node.ask()
        assert (new.number, new.attempt, new.resume) == (0, 2, None)
        assert node.trial(new).reports == ()
        await trained(node, range(1, 3), new)
        assert (await node.finish(new, outcome="complete")).outcome == "complete"


async def test_a_store_that_is_not_mounted_is_not_taken_for_lost_files(tmp_path: Path) -> None:
    """The server does not start on a store that is empty of its files and of its mark."""
    root = tmp_path / "artifacts"
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 3)))
    with unmounted(root), pytest.raises(NotMounted, match="is its disk mounted") as caught:
        async with serve(tmp_path):
            pass
    async with serve(tmp_path) as node:
        grant = await node.ask()
        assert grant.resume is not None
        await node.release(grant)
    shutil.rmtree(root)
    root.mkdir()
    said = re.search("write ([0-9a-f]{32}) into ([a-z.-]+) there", caught.value.detail)
    assert said is not None
    (root / said[2]).write_text(said[1])
    async with serve(tmp_path) as node:
        assert (await node.ask()).resume is None


async def test_a_disk_that_goes_while_the_server_runs_is_not_marked(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 3)))
        with unmounted(root):
            with pytest.raises(NotMounted):
                await orphans.sweep(node.services)
            assert node.services.foreign_store.is_set()
            assert not list(root.iterdir())
        await orphans.sweep(node.services)
        assert not node.services.foreign_store.is_set()


async def test_a_store_that_lost_its_mark_and_a_file_is_marked_anew(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 3)))
        lose(node, 2)
    (tmp_path / "artifacts" / MARK).unlink()
    async with serve(tmp_path) as node:
        grant = await node.ask()
        assert grant.resume is not None
        assert grant.resume.step == 1
        assert (tmp_path / "artifacts" / MARK).exists()


async def test_one_that_can_not_be_reached_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 2)))
        (name,) = files(node)
    path = tmp_path / "artifacts" / name
    aside = path.rename(tmp_path / "aside")
    path.symlink_to(path)
    with pytest.raises(Unavailable, match="can't be reached"):
        async with serve(tmp_path):
            pass
    aside.rename(path)
    async with serve(tmp_path) as node:
        assert (await node.ask()).resume is not None


async def test_one_that_can_not_be_read_is_passed_over_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 3)))
        before, grant = files(node), await node.ask()
        assert grant.resume is not None
        body = {"attempt": grant.attempt, "sha256": grant.resume.sha256, "reason": "no file came"}
        monkeypatch.setattr(FolderStore, "open", lambda *_: Broken())
        reply = await node.post(f"/leases/{grant.lease}/checkpoint/reject", body)
        assert reply.json()["state"] == "waiting"
        again = await node.ask()
        assert again.resume is not None
        assert (again.resume.step, node.trial(again).failures) == (1, 0)
        assert files(node) == before


async def test_one_cut_short_counts_as_missing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 3)))
        (newest,) = [f for f in files(node) if "/1-2-" in f]
        (node.services.settings.artifact_dir / newest).write_bytes(b"weigh")
    async with serve(tmp_path) as node:
        new = await node.ask()
        assert new.resume is not None
        assert new.resume.step == 1


async def test_a_checkpoint_of_another_curve_is_not_taken(tmp_path: Path) -> None:
    """Attempt 2 began anew: what attempt 1 had at step 1 did not lead to attempt 2's curve."""
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        await node.release(await trained(node, range(1, 2)))
        root = node.services.settings.artifact_dir
        first = files(node)[0]
        aside = (root / first).read_bytes()
        lose(node, 1)
    async with serve(tmp_path) as node:
        second = await node.ask()
        assert second.resume is None
        await node.report(second, 1, 0.75)
        await node.report(second, 2, 0.5)
        await put(node, second, 2, b"weights of attempt 2")
        await node.release(second)
        lose(node, 2)
        (root / first).write_bytes(aside)
    async with serve(tmp_path) as node:
        third = await node.ask()
        assert (third.attempt, third.resume) == (3, None)


async def test_ended_trials_are_left_alone(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await trained(node, range(1, 3))
        await node.finish(grant, outcome="complete")
        lose(node, 1, 2)
    async with serve(tmp_path) as node:
        checkpoint = node.trial(grant).checkpoint
        assert checkpoint is not None
        assert checkpoint.step == 2
