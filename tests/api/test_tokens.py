"""Tokens made, listed and revoked; what ends with them; and the audit log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from storage.tables import tokens as table
from tests.api.in_process import API
from tests.api.node import Clock, Node, document, serve
from tests.api.people import as_who, peopled, token
from tuner.access import Role

pytestmark = pytest.mark.anyio


async def audit(node: Node, query: str = "") -> list[dict[str, Any]]:
    reply = await node.http.get(f"{API}/audit{query}")
    assert reply.status_code == 200, reply.text
    return list(reply.json()["items"])


async def test_a_secret_is_shown_once_and_stored_hashed(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        body = {"name": "ci", "role": "viewer", "project": "red", "expires_s": 3600}
        made = (await node.post("/tokens", body)).json()
        assert made["secret"].startswith("tnr_")
        assert len(made["secret"]) >= 43
        listed = (await node.http.get(f"{API}/tokens")).json()["items"]
        (ci,) = [t for t in listed if t["name"] == "ci"]
        assert ci | {"secret": made["secret"]} == made

        def rows(connection: Any) -> str:
            return repr([tuple(r) for r in connection.execute(table.select())])

        stored = await node.services.ledger.read(rows)
        assert "ci" in stored
        assert made["secret"] not in stored
        assert made["secret"] not in repr(node.services.ledger.memory.tables)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "a-viewer", "role": "viewer"}, 409),
        ({"name": "admin", "role": "viewer"}, 409),
        ({"name": "x", "role": "admin", "project": "red"}, 422),
        ({"name": "x", "role": "owner"}, 422),
        ({"name": "x", "role": "viewer", "expires_s": 0}, 422),
        ({"name": "", "role": "viewer"}, 422),
        ({"role": "viewer"}, 422),
    ],
)
async def test_tokens_that_can_not_be(tmp_path: Path, body: dict[str, Any], status: int) -> None:
    async with peopled(tmp_path) as (node, _):
        assert (await node.post("/tokens", body)).status_code == status


async def test_a_revoked_token_is_void_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        await node.http.delete(f"{API}/tokens/a-viewer")
        assert (await as_who(node, secrets[Role.VIEWER], "GET", "/studies")).status_code == 401
        assert (await node.http.delete(f"{API}/tokens/a-viewer")).status_code == 404
        kept = secrets[Role.SUBMITTER]
    async with serve(tmp_path) as node:
        assert (await as_who(node, kept, "GET", "/studies")).status_code == 200
        assert (await as_who(node, secrets[Role.VIEWER], "GET", "/studies")).status_code == 401


async def test_a_long_poll_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        await node.submit(run={"entrypoint": "pkg.train:main"}, budget={"trials": 1})
        mine = secrets[Role.WORKER]
        body = {"name": "w", "host": "h", "slots": 1, "allow": ["pkg.train:*"]}
        worker = (await as_who(node, mine, "POST", "/workers", body)).json()["worker_id"]
        ask = {"worker_id": worker, "n": 1, "wait_s": 0}
        first = (await as_who(node, mine, "POST", "/leases", ask)).json()["leases"]
        assert len(first) == 1
        ask["wait_s"] = 60
        before = len(node.services.ledger._subscribers)
        poll = asyncio.create_task(as_who(node, mine, "POST", "/leases", ask))
        while len(node.services.ledger._subscribers) == before:
            await asyncio.sleep(0)
        await node.http.delete(f"{API}/tokens/a-worker")
        assert (await poll).status_code == 401


async def test_a_long_poll_of_a_token_that_expires_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        await node.submit(budget={"trials": 1})
        await node.ask()
        secret = await token(node, Role.SUBMITTER, expires_s=60)
        before = len(node.services.ledger._subscribers)
        poll = asyncio.create_task(as_who(node, secret, "POST", "/studies/s/ask", {"wait_s": 0.5}))
        while len(node.services.ledger._subscribers) == before:
            await asyncio.sleep(0)
        clock.seconds += 61
        assert (await poll).status_code == 401


async def test_what_people_change_is_in_the_audit_log(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        me = secrets[Role.SUBMITTER]

        async def do(method: str, path: str, body: Any = None) -> None:
            reply = await as_who(node, me, method, path, body)
            assert reply.is_success, (path, reply.text)

        await do("POST", "/studies", document(name="a"))
        await do("PATCH", "/studies/a", {"priority": 3})
        await do("POST", "/studies/a/extend", {"trials": 2})
        await do("POST", "/studies/a/trials", {"params": {"x": 0.5}})
        await do("POST", "/studies/a/clone", {"name": "b"})
        await do("PATCH", "/studies/a", {"state": "cancelled"})
        await do("DELETE", "/studies/a")
        await do("POST", "/studies/import", {"document": document(name="c")})
        found = await audit(node, "?who=a-submitter")
        assert [(e["action"], e["study"]) for e in reversed(found)] == [
            ("submit", "a"),
            ("change", "a"),
            ("extend", "a"),
            ("enqueue", "a"),
            ("clone", "b"),
            ("change", "a"),
            ("delete", "a"),
            ("import", "c"),
        ]
        assert {e["token_id"] for e in found} != {None}
        assert found[-2]["detail"] == {"priority": 3}
        assert all(e["address"] == "127.0.0.1" for e in found)
        made = await audit(node, "?action=token-create")
        assert [e["who"] for e in made] == ["admin"] * 4
        assert "tnr_" not in str(made)
        assert [e["action"] for e in await audit(node, "?study=b")] == ["clone"]
        page = (await node.http.get(f"{API}/audit?limit=3")).json()
        rest = await audit(node, f"?cursor={page['next_cursor']}")
        assert [e["seq"] for e in page["items"] + rest] == [e["seq"] for e in await audit(node)]


async def test_what_failed_or_was_repeated_is_not_logged_twice(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        for _ in range(2):
            await node.post("/studies", document(), key="k")
        assert (await node.post("/studies", document())).status_code == 409
        assert len(await audit(node, "?action=submit")) == 1


async def test_workers_reports_are_not_logged(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        await node.submit()
        grant = await node.ask()
        await node.report(grant, 1, 0.5)
        await node.finish(grant, value=0.5)
        assert {e["action"] for e in await audit(node)} == {"submit", "token-create"}


async def test_a_log_in_is_logged(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        await node.http.post("/session", json={"token": await token(node, Role.VIEWER, "v")})
        assert [e["who"] for e in await audit(node, "?action=log-in")] == ["v"]
