"""Trials that start from a checkpoint of another trial, of this study or another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.files import orphans
from storage.check import check
from tests.api.node import Node, serve, slug
from tests.api.people import as_who, peopled, token
from tests.api.test_artifacts import HALVE, RATED, put
from tests.api.test_files import ALL
from tuner.access import Role
from tuner.trial import INHERITED, EventKind
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio


async def trained(node: Node, name: str = "s", **more: Any) -> LeaseGrant:
    """Submit a study, and report four steps of its first trial with a checkpoint after each."""
    await node.submit(**{**RATED, "name": name, "policies": [HALVE], **more})
    grant = await node.ask(name)
    level = 1.0
    for step in (1, 2, 3, 4):
        level = (await node.report(grant, step, 1.0, level)).lr_factor
        assert (await put(node, grant, step, f"weights {step}".encode())).status_code == 200
    return grant


async def fetched(node: Node, grant: LeaseGrant) -> bytes:
    return (await node.http.get(f"/api/v1/leases/{grant.lease}/checkpoint")).content


async def test_from_another_study_it_counts_anew_at_its_own_rate(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        old = await trained(node, "old")
        await node.submit(**RATED, name="new", policies=[HALVE])
        wish = {"source": {"study": "old", "trial": 0, "step": 3}}
        made = await node.post("/studies/new/trials", wish)
        assert made.status_code == 201, made.text
        assert made.json()["params"] == old.params
        grant = await node.ask("new")
        assert grant.resume is not None
        assert (grant.resume.attempt, grant.resume.step, grant.lr_factor) == (INHERITED, 0, 1.0)
        assert (node.trial(grant).reports, await fetched(node, grant)) == ((), b"weights 3")
        await node.report(grant, 1, 0.5)
        path = f"/api/v1/studies/new/trials/{grant.number}"
        events = (await node.http.get(path)).json()["events"]
        (said,) = [e for e in events if e["kind"] == EventKind.ENQUEUED]
        told = {"study": "old", "study_id": old.study_id, "trial": 0, "step": 3, "steps": "anew"}
        assert said["data"]["source"] == told
    assert check(f"sqlite:///{tmp_path}/tuner.db", artifacts=tmp_path / "artifacts") == []


async def test_counted_on_it_takes_curve_and_rate_along(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        old = await trained(node, "old")
        await node.submit(**RATED, name="new", policies=[HALVE])
        wish = {"source": {"study": str(old.study_id), "trial": 0, "step": 3, "steps": "on"}}
        made = await node.post("/studies/new/trials", wish)
        assert (made.status_code, made.json()["last_step"]) == (201, 3)
        grant = await node.ask("new")
        assert grant.resume is not None
        assert (grant.resume.step, grant.lr_factor) == (3, 0.25)
        assert [r.step for r in node.trial(grant).reports] == [1, 2, 3]


async def test_what_it_starts_from_outlives_its_study(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        old = await trained(node, "old")
        await node.submit(**RATED, name="new")
        wish = {"source": {"study": "old", "trial": 0}}
        assert (await node.post("/studies/new/trials", wish)).status_code == 201
        await node.http.patch(f"/api/v1/studies/{old.study_id}", json={"state": "cancelled"})
        assert (await node.http.delete(f"/api/v1/studies/{old.study_id}")).status_code == 200
        await orphans.sweep(node.services, old=ALL)
        grant = await node.ask("new")
        assert await fetched(node, grant) == b"weights 4"
        await node.release(grant)
        again = await node.ask("new")
        assert (again.attempt, await fetched(node, again)) == (2, b"weights 4")
        stale = await node.http.get(f"/api/v1/leases/{grant.lease}/checkpoint")
        assert (stale.status_code, slug(stale.json()["type"])) == (409, "stale-attempt")


async def test_a_start_whose_file_is_damaged_is_told_and_left_out(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await trained(node, "old")
        await node.submit(**RATED, name="new")
        wish = {"source": {"study": "old", "trial": 0}}
        await node.post("/studies/new/trials", wish)
        grant = await node.ask("new")
        assert grant.resume is not None
        (kept,) = (node.services.settings.artifact_dir / str(grant.study_id) / "kept").iterdir()
        kept.unlink()
        body = {"attempt": 1, "sha256": grant.resume.sha256, "reason": "gone"}
        told = await node.post(f"/leases/{grant.lease}/checkpoint/reject", body)
        assert (told.status_code, told.json()["state"]) == (200, "waiting")
        assert (await node.ask("new")).resume is None
        path = f"/api/v1/studies/new/trials/{grant.number}"
        detail = (await node.http.get(path)).json()
        assert [e["kind"] for e in detail["events"]].count(EventKind.MISSING) == 1


@pytest.mark.parametrize(
    ("source", "status", "word"),
    [
        ({"study": "none", "trial": 0}, 404, "none"),
        ({"study": "old", "trial": 7}, 404, "7"),
        ({"study": "old", "trial": 0, "step": 2}, 409, "it keeps"),
        ({"study": "old", "trial": 0, "steps": "on"}, 422, "another objective"),
        ({"study": "old", "trial": 0, "steps": "more"}, 422, "source.steps"),
    ],
)
async def test_what_can_not_be(tmp_path: Path, source: Any, status: int, word: str) -> None:
    async with serve(tmp_path) as node:
        await trained(node, "old")
        await node.submit(**RATED, name="new", objective={"metric": "acc", "mode": "max"})
        reply = await node.post("/studies/new/trials", {"source": source})
        assert (reply.status_code, word in reply.json()["detail"]) == (status, True), reply.text
        both = {"source": {"study": "old", "trial": 0}, "from_checkpoint": True}
        assert (await node.post("/studies/new/trials", both)).status_code == 422


async def test_nothing_is_left_to_train_past_the_longest_training(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await trained(node, "old")
        await node.submit(**{**RATED, "budget": {"trials": 9, "steps": 4}}, name="new",
                          policies=[HALVE])  # fmt: skip
        source = {"study": "old", "trial": 0, "steps": "on"}
        reply = await node.post("/studies/new/trials", {"source": source})
        assert (reply.status_code, "trains for 4" in reply.json()["detail"]) == (422, True)
        assert (
            await node.post("/studies/new/trials", {"source": source | {"steps": "anew"}})
        ).status_code == 201


async def test_a_study_of_another_project_is_not_there(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        await trained(node, "old", queue={"project": "speech"})
        await node.submit(**RATED, name="new", queue={"project": "vision"})
        vision = await token(node, Role.SUBMITTER, "v", project="vision")
        wish = {"source": {"study": "old", "trial": 0}}
        reply = await as_who(node, vision, "POST", "/studies/new/trials", wish)
        assert (reply.status_code, slug(reply.json()["type"])) == (404, "not-found")
        everywhere = await token(node, Role.SUBMITTER, "e")
        reply = await as_who(node, everywhere, "POST", "/studies/new/trials", wish)
        assert reply.status_code == 201


async def test_a_lease_reads_checkpoints_of_its_project_alone(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await trained(node, "old")
        other = await trained(node, "other", queue={"project": "speech"})
        await node.submit(**RATED, name="new")
        grant = await node.ask("new")
        for query, status, body in (
            ("study=old&trial=0", 200, b"weights 4"),
            ("study=old&trial=0&step=3", 200, b"weights 3"),
            ("study=old&trial=best", 404, None),
            ("study=old&trial=x", 422, None),
            ("study=other&trial=0", 404, None),
            (f"study={other.study_id}&trial=0", 404, None),
        ):
            reply = await node.http.get(f"/api/v1/leases/{grant.lease}/source?{query}")
            assert reply.status_code == status, (query, reply.text)
            assert body is None or reply.content == body
        await node.release(grant)
        void = await node.http.get(f"/api/v1/leases/{grant.lease}/source?study=old&trial=0")
        assert (void.status_code, slug(void.json()["type"])) == (409, "stale-attempt")
