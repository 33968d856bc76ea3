"""DELETE /studies/{study}: studies that are over go, with their files; others stay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from storage.check import check
from tests.api.in_process import API
from tests.api.node import Node, serve, slug
from tests.api.test_artifacts import RATED, files, put

pytestmark = pytest.mark.anyio


async def over(node: Node, name: str = "s") -> int:
    """Submit a study, train a trial with a checkpoint, and cancel the study."""
    study = await node.submit(**{**RATED, "name": name})
    grant = await node.ask(name)
    await node.report(grant, 1, 0.5)
    assert (await put(node, grant, 1, b"weights")).status_code == 200
    await node.finish(grant, outcome="complete")
    reply = await node.http.patch(f"{API}/studies/{name}", json={"state": "cancelled"})
    assert reply.status_code == 200
    return study.id


async def test_a_study_goes_with_its_files(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await over(node, "kept")
        study = await over(node, "gone")
        reply = await node.http.delete(f"{API}/studies/gone")
        assert (reply.status_code, reply.json()["id"], reply.json()["name"]) == (200, study, "gone")
        assert [f.split("/")[0] for f in files(node)] == ["1"]
        for path in (f"studies/{study}", "studies/gone", "studies/gone/trials/0"):
            assert (await node.http.get(f"{API}/{path}")).status_code == 404
        listed = (await node.http.get(f"{API}/studies")).json()["items"]
        assert [s["name"] for s in listed] == ["kept"]
        again = await node.submit(**{**RATED, "name": "gone"})
        assert again.id == 3
    url = f"sqlite:///{tmp_path}/tuner.db"
    assert check(url, artifacts=tmp_path / "artifacts", hashes=True) == []
    async with serve(tmp_path) as node:
        assert [s.name for s in node.services.ledger.memory.studies()] == ["kept", "gone"]


async def test_one_that_is_not_over_stays(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        reply = await node.http.delete(f"{API}/studies/s")
        assert (reply.status_code, slug(reply.json()["type"])) == (409, "study-state")
        assert "cancel it first" in reply.json()["detail"]
        absent = await node.http.delete(f"{API}/studies/absent")
        assert absent.status_code == 404
        assert (await node.study("s")).id == 1


async def test_the_same_key_gets_the_same_answer(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await over(node)
        headers = {"Idempotency-Key": "k"}
        first, second = [
            await node.http.delete(f"{API}/studies/s", headers=headers) for _ in range(2)
        ]
        assert first.status_code == second.status_code == 200
        assert first.content == second.content
        assert (await node.http.delete(f"{API}/studies/s")).status_code == 404


async def test_of_many_at_once_one_deletes(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await over(node)
        replies = await asyncio.gather(*(node.http.delete(f"{API}/studies/s") for _ in range(8)))
        assert sorted(r.status_code for r in replies) == [200, *[404] * 7]


async def test_a_worker_that_comes_late_is_told(tmp_path: Path) -> None:
    """A lease of a trial whose study is gone is stale, and nothing fails inside."""
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await node.http.patch(f"{API}/studies/s", json={"state": "cancelled"})
        assert (await node.http.delete(f"{API}/studies/s")).status_code == 200
        assert await node.refused(grant, 1, 0.5) == "stale-attempt"
        finish = await node.try_finish(grant, outcome="complete", value=1.0)
        assert finish.status_code == 409
        late = await put(node, grant, 1, b"weights")
        assert late.status_code == 409
        assert files(node) == []
