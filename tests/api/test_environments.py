"""What attempts ran on and with: stored once a study, fenced, bounded, shown."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.openapi_environment import CODE, MACHINE, PACKAGES
from tests.api.node import Node, serve, slug
from tuner.environment import digest_of
from tuner.wire import LeaseGrant
from tuner.wire.environments import LONGEST_DIFF

pytestmark = pytest.mark.anyio
API = "/api/v1"


def body(attempt: int = 1, *, whole: bool = True, **machine: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"attempt": attempt, "machine": MACHINE | machine}
    return found | {"packages": PACKAGES, "code": CODE} if whole else found


async def put(node: Node, grant: LeaseGrant, document: dict[str, Any]) -> httpx.Response:
    return await node.http.put(f"{API}/leases/{grant.lease}/environment", json=document)


async def missing(node: Node, grant: LeaseGrant, document: dict[str, Any]) -> list[str]:
    reply = await put(node, grant, document)
    assert reply.status_code == 200, reply.text
    found: list[str] = reply.json()["missing"]
    return found


async def shown(node: Node, number: int = 0, study: str = "s") -> list[dict[str, Any]]:
    reply = await node.http.get(f"{API}/studies/{study}/trials/{number}/environments")
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["items"]
    return found


def stored(folder: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(folder / "tuner.db")) as connection:
        query = "SELECT study_id, kind FROM tuner_environments ORDER BY study_id, kind"
        return connection.execute(query).fetchall()


async def test_parts_are_asked_for_once_a_study(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        first, second = await node.ask(), await node.ask()
        assert await missing(node, first, body(whole=False)) == ["packages", "code"]
        assert await shown(node) == []
        assert await missing(node, first, body()) == []
        assert await missing(node, second, body(whole=False)) == []
        assert await missing(node, second, body(whole=False)) == []  # again
        (found,) = await shown(node, 1)
        assert found["machine"] == MACHINE
        assert (found["packages"], found["code"], found["attempt"]) == (PACKAGES, CODE, 1)
    assert stored(tmp_path) == [(1, "code"), (1, "machine"), (1, "packages")]


async def test_a_restart_knows_what_is_stored(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        grant = await node.ask()
        await missing(node, grant, body())
    async with serve(tmp_path) as node:
        other = await node.ask()
        assert await missing(node, other, body(whole=False)) == []
        assert len(await shown(node, other.number)) == 1


async def test_a_study_does_not_see_anothers_parts(tmp_path: Path) -> None:
    """Who knows a digest learns nothing by it."""
    async with serve(tmp_path) as node:
        await node.submit()
        await node.submit(name="t")
        await missing(node, await node.ask("s"), body())
        assert await missing(node, await node.ask("t"), body(whole=False)) == ["packages", "code"]


async def test_each_attempt_has_its_own_newest_first(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        first = await node.ask()
        await missing(node, first, body(host="a"))
        await node.release(first)
        second = await node.ask()
        await missing(node, second, body(2, host="b"))
        found = await shown(node)
        assert [(e["attempt"], e["machine"]["host"]) for e in found] == [(2, "b"), (1, "a")]
        path = f"{API}/studies/s/trials/0/environments"
        page = (await node.http.get(path, params={"limit": 1})).json()
        rest = (
            await node.http.get(path, params={"limit": 1, "cursor": page["next_cursor"]})
        ).json()
        assert [e["attempt"] for e in (*page["items"], *rest["items"])] == [2, 1]
        reply = await put(node, first, body(1))
        assert (reply.status_code, slug(reply.json()["type"])) == (409, "stale-attempt")


async def test_a_trial_that_has_ended_is_recorded_late(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        grant = await node.ask()
        await node.finish(grant, value=1.0)
        assert await missing(node, grant, body()) == []
        assert len(await shown(node)) == 1
        forged = grant.model_copy(update={"lease": grant.lease[:-4] + "AAAA"})
        reply = await put(node, forged, body())
        assert (reply.status_code, slug(reply.json()["type"])) == (409, "stale-attempt")


@pytest.mark.parametrize(
    "document",
    [
        body() | {"packages": {"torch": "9"}},  # not the one whose digest is named
        body() | {"code": CODE | {"diff": "x"}},
        body() | {"unknown": 1},
        body(unknown=1),
        body() | {"code": CODE | {"unknown": 1}},
        body() | {"attempt": 0},
        body(packages="short"),
        body(program=["x"] * 501),
        body(gpus=["x"] * 65),
        body(variables={f"V{i}": "" for i in range(65)}),
        body() | {"packages": {f"p{i}": "1" for i in range(5001)}},
        body() | {"code": CODE | {"diff": "x" * (LONGEST_DIFF + 1)}},
        body() | {"code": CODE | {"files": {f"f{i}": "0" * 64 for i in range(1001)}}},
        body() | {"code": CODE | {"commit": "HEAD"}},
        body() | {"code": CODE | {"note": "\0"}},
    ],
)
async def test_what_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        grant = await node.ask()
        reply = await put(node, grant, document)
        assert reply.status_code in (400, 422), reply.text
        assert await shown(node) == []
    assert stored(tmp_path) == []


async def test_the_largest_that_is_taken(tmp_path: Path) -> None:
    packages = {f"package-number-{i}": "1.2.3" for i in range(5000)}
    code = CODE | {"diff": "é" * LONGEST_DIFF, "diff_size": LONGEST_DIFF + 1}
    machine = MACHINE | {"packages": digest_of(packages), "code": digest_of(code)}
    whole = {"attempt": 1, "machine": machine, "packages": packages, "code": code}
    async with serve(tmp_path) as node:
        await node.submit()
        assert await missing(node, await node.ask(), whole) == []
        (found,) = await shown(node)
        assert found["code"] == code


async def test_an_older_program_that_leaves_keys_out_is_taken(tmp_path: Path) -> None:
    code = {"kind": "none", "note": "no code was found"}
    document = body() | {"code": code}
    document["machine"] = {k: v for k, v in MACHINE.items() if k not in ("driver", "cuda")}
    document["machine"] |= {"code": digest_of(code)}
    async with serve(tmp_path) as node:
        await node.submit()
        assert await missing(node, await node.ask(), document) == []
        (found,) = await shown(node)
        assert (found["machine"]["driver"], found["code"]["diff"]) == ("", "")


async def test_parts_go_with_their_study(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        grant = await node.ask()
        await missing(node, grant, body())
        await node.finish(grant, value=1.0)
        await node.http.patch(f"{API}/studies/s", json={"state": "cancelled"})
        assert (await node.http.delete(f"{API}/studies/s")).status_code == 200
    async with serve(tmp_path):  # what is left of dropped studies is deleted at the latest now
        pass
    assert stored(tmp_path) == []


async def test_the_fleet_is_told_the_gpus_of_each_attempt(tmp_path: Path) -> None:
    """A worker of before named none."""
    async with serve(tmp_path) as node:
        await node.submit()
        new, old = await node.ask(), await node.ask()
        assert await missing(node, new, body(devices=["1", "GPU-5e"])) == []
        before = body()
        del before["machine"]["devices"]
        assert await missing(node, old, before) == []
        columns = (await node.http.get(f"{API}/attempts")).json()["columns"]
        told = dict(zip(columns["number"], columns["devices"], strict=True))
        assert told == {new.number: ["1", "GPU-5e"], old.number: []}
        (machine,) = (item["machine"] for item in await shown(node, new.number))
        assert machine["devices"] == ["1", "GPU-5e"]
