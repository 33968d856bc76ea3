"""Every route by every role, by none, and by tokens that are void: only what is declared passes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from api.access import EVERYONE, Guarded, need_of, open_to_all, require_declared
from api.auth import OPEN
from api.limits.settings import Limits
from api.routes import PAGES, PUBLIC, ROUTERS
from tests.api.in_process import API, mounted
from tests.api.node import Clock, Node, document, serve, slug
from tests.api.people import as_who, bearer, peopled, send, token
from tuner.access import Role, allowed
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
SECURITY = (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")
ALL = [*mounted(), ("GET", "/openapi.json")]
NEEDS = {
    (method, prefix + str(getattr(route, "path", ""))): need_of(route)
    for prefix, routers in ((API, ROUTERS), ("", (*PUBLIC, *PAGES)))
    for router in routers
    for route in router.routes
    for method in getattr(route, "methods", None) or ()
}


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: "abcdefgh" if m[1] in ("lease", "worker") else "1", path)


async def test_every_route_lets_in_who_it_declares_and_nobody_else(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        for method, path in ALL:
            if (method, path) in OPEN:
                continue
            need = NEEDS.get((method, path))
            roles = EVERYONE if need is None else need.roles
            assert roles, path
            for role, secret in secrets.items():
                if (method, path) == ("DELETE", f"{API}/tokens/{{token}}"):
                    continue
                reply = await send(node, method, filled(path), bearer(secret))
                refused = reply.status_code == 403 and "needs" in reply.json()["detail"]
                assert refused is (role not in roles), (method, path, role, reply.text)
                assert reply.status_code not in (401, 500), (method, path, role, reply.text)


async def test_no_route_answers_without_a_valid_token(tmp_path: Path) -> None:
    clock = Clock()
    async with peopled(tmp_path, clock=clock) as (node, secrets):
        short = await token(node, Role.ADMIN, "short", expires_s=60)
        assert (await as_who(node, short, "GET", "/studies")).status_code == 200
        clock.seconds += 61
        gone = secrets[Role.ADMIN]
        assert (await node.http.delete(f"{API}/tokens/a-admin")).status_code == 200
        for method, path in ALL:
            if (method, path) in OPEN:
                continue
            for headers in ({}, bearer("tnr_wrong"), bearer(short), bearer(gone)):
                reply = await send(node, method, filled(path), headers)
                assert reply.status_code == 401, (method, path, reply.text)
                assert reply.headers["www-authenticate"].startswith("Bearer")
                assert reply.headers["content-type"] == "application/problem+json"


def test_a_route_that_declares_nothing_can_not_be_added() -> None:
    router, app = APIRouter(), FastAPI(openapi_url=None)

    @router.get("/bare")
    async def bare() -> None: ...

    with pytest.raises(TypeError, match="/api/bare declares no role"):
        require_declared([("/api", router)], [], OPEN)
    app.mount("/pages", Starlette())
    with pytest.raises(TypeError, match="/pages declares no role"):
        require_declared([], app.routes, frozenset())
    require_declared([], [Mount("/pages", Guarded(Starlette(), Role.VIEWER))], frozenset())


def test_an_open_route_must_be_known_to_the_guard() -> None:
    router = APIRouter()

    @router.get("/ajar")
    @open_to_all
    async def ajar() -> None: ...

    with pytest.raises(TypeError, match="ajar"):
        require_declared([("", router)], [], frozenset())


def test_roles_by_rank() -> None:
    assert allowed(Role.VIEWER) == {Role.VIEWER, Role.SUBMITTER, Role.ADMIN}
    assert allowed(Role.SUBMITTER) == {Role.SUBMITTER, Role.ADMIN}
    assert allowed(Role.WORKER) == {Role.WORKER, Role.ADMIN}
    assert allowed(Role.ADMIN) == {Role.ADMIN}


def test_the_documented_table_is_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+ /\S*)` \| ([^|]+) \|$", SECURITY, re.MULTILINE))
    want = {}
    for (method, path), need in NEEDS.items():
        roles = need.roles if need else frozenset()
        names = ", ".join(r for r in Role if r in roles) or "everyone, without a token"
        want[f"{method} {path}"] = names
    assert rows == want


async def project_token(node: Node, role: Role, project: str) -> str:
    return await token(node, role, f"{role}-of-{project}", project=project)


async def test_a_token_of_a_project_sees_and_changes_that_project_only(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        mine = await node.submit(name="mine", queue={"project": "red"})
        other = await node.submit(name="other", queue={"project": "blue"})
        secret = await project_token(node, Role.SUBMITTER, "red")
        listed = (await as_who(node, secret, "GET", "/studies")).json()["items"]
        assert [s["name"] for s in listed] == ["mine"]
        asked = await as_who(node, secret, "GET", "/studies?project=blue")
        assert asked.json()["items"] == []
        for method, path in ALL:
            if "{study}" not in path:
                continue
            for ref in ("other", str(other.id)):
                there = path.replace("{study}", ref).replace("{number}", "0")
                reply = await send(node, method, there, bearer(secret), json={})
                absent = there.replace(ref, "absent" if ref == "other" else "999", 1)
                same = await send(node, method, absent, bearer(secret), json={})
                assert reply.status_code == same.status_code == 404, (method, path, reply.text)
        changed = await as_who(node, secret, "PATCH", "/studies/mine", {"priority": 7})
        assert changed.json()["spec"]["queue"]["priority"] == 7
        assert (await as_who(node, secret, "GET", f"/studies/{mine.id}")).status_code == 200
        assert (await as_who(node, secret, "GET", "/audit")).status_code == 403


async def test_a_token_of_a_project_submits_to_it(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        secret = await project_token(node, Role.SUBMITTER, "red")
        made = await as_who(node, secret, "POST", "/studies", document(name="a"))
        assert made.json()["spec"]["queue"]["project"] == "red"
        study = node.services.ledger.memory.study_named("a")
        assert study.created_by == "submitter-of-red"
        elsewhere = document(name="b", queue={"project": "blue"})
        assert (await as_who(node, secret, "POST", "/studies", elsewhere)).status_code == 403
        clone = {"name": "c", "changes": {"queue": {"project": "blue"}}}
        assert (await as_who(node, secret, "POST", "/studies/a/clone", clone)).status_code == 403
        adopt = {"document": elsewhere}
        assert (await as_who(node, secret, "POST", "/studies/import", adopt)).status_code == 403
        assert [s.name for s in node.services.ledger.memory.studies()] == ["a"]


async def leased(node: Node, secret: str, **more: object) -> tuple[str, list[LeaseGrant]]:
    body = {"name": "w", "host": "h", "slots": 4, "allow": ["pkg.train:*"]}
    worker = (await as_who(node, secret, "POST", "/workers", body)).json()["worker_id"]
    reply = await as_who(
        node, secret, "POST", "/leases", {"worker_id": worker, "wait_s": 0, **more}
    )
    assert reply.status_code == 200, reply.text
    return worker, [LeaseGrant.model_validate(g) for g in reply.json()["leases"]]


WORK = {"run": {"entrypoint": "pkg.train:main"}}


async def test_a_worker_reaches_the_trials_it_holds_and_no_others(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        await node.submit(**WORK)
        mine, other = secrets[Role.WORKER], await token(node, Role.WORKER, "another")
        worker, (grant,) = await leased(node, mine)
        assert node.services.ledger.memory.lease(grant.lease).token_id is not None
        held = {"lease": grant.lease, "attempt": grant.attempt}
        report = {"reports": [held | {"step": 1, "value": 0.5}]}
        submitter = secrets[Role.SUBMITTER]
        for stranger in (other, submitter):
            got = (await as_who(node, stranger, "POST", "/reports", report)).json()["results"]
            assert [r["problem"]["status"] for r in got] == [403]
            beat = await as_who(node, stranger, "POST", "/heartbeats", {"leases": [held]})
            assert [r["problem"]["status"] for r in beat.json()["results"]] == [403]
            at = f"/leases/{grant.lease}"
            for path, body in ((f"{at}/finish", {"attempt": 1, "value": 1.0}),
                               (f"{at}/release", {"attempt": 1})):  # fmt: skip
                assert (await as_who(node, stranger, "POST", path, body)).status_code == 403
            assert (await as_who(node, stranger, "GET", f"{at}/checkpoint")).status_code == 403
            put = f"{API}{at}/checkpoints/1?attempt=1&sha256={'0' * 64}"
            octets = bearer(stranger) | {"Content-Type": "application/octet-stream"}
            assert (await send(node, "PUT", put, octets, content=b"x")).status_code == 403
        for path, asked in (("/leases", {"worker_id": worker, "wait_s": 0}),
                           ("/heartbeats", {"worker_id": worker})):  # fmt: skip
            assert (await as_who(node, other, "POST", path, asked)).status_code == 403
        assert (await as_who(node, other, "DELETE", f"/workers/{worker}")).status_code == 403
        assert node.trial(grant).reports == ()
        ok = (await as_who(node, mine, "POST", "/reports", report)).json()["results"]
        assert ok[0]["decision"]["action"] == "continue"
        done = await as_who(node, mine, "POST", f"/leases/{grant.lease}/finish", {"attempt": 1})
        assert done.status_code == 200


@pytest.mark.parametrize("end", ["finish", "release"])
async def test_a_void_lease_tells_only_who_held_it(tmp_path: Path, end: str) -> None:
    """A lease names its place, so that anyone could make one up: over a restart, too."""
    async with peopled(tmp_path) as (node, secrets):
        await node.submit(**WORK)
        mine, other = secrets[Role.WORKER], await token(node, Role.WORKER, "another")
        _, (grant,) = await leased(node, mine)
        at, body = f"/leases/{grant.lease}/{end}", {"attempt": 1}
        report = {"reports": [{"lease": grant.lease, "attempt": 1, "step": 1, "value": 0.5}]}
        await as_who(node, mine, "POST", "/reports", report)
        assert (await as_who(node, mine, "POST", at, body)).status_code == 200
    async with serve(tmp_path, limits=Limits(wrong_tokens=100_000)) as node:
        beat = {"leases": [{"lease": grant.lease, "attempt": 1}]}
        asked = (("/reports", report), ("/heartbeats", beat))
        for stranger in (other, secrets[Role.SUBMITTER]):
            assert (await as_who(node, stranger, "POST", at, body)).status_code == 409
            for path, sent in asked:
                (got,) = (await as_who(node, stranger, "POST", path, sent)).json()["results"]
                assert slug(got["problem"]["type"]) == "stale-attempt"
                assert got.get("decision") is None
        for holder in (mine, secrets[Role.ADMIN]):
            again = await as_who(node, holder, "POST", at, body)
            assert again.status_code == 200
            assert again.json()["state"] == {"finish": "ended", "release": "waiting"}[end]
            (got,) = (await as_who(node, holder, "POST", "/reports", report)).json()["results"]
            assert (got["decision"] is not None) == (end == "finish")


async def test_a_worker_of_a_project_gets_that_projects_trials(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, _):
        await node.submit(name="blue", queue={"project": "blue", "priority": 9}, **WORK)
        secret = await project_token(node, Role.WORKER, "red")
        _, grants = await leased(node, secret, n=2)
        assert grants == []
        assert (await node.study("blue")).note == "no worker serves the project blue"
        await node.submit(name="red", queue={"project": "red"}, **WORK)
        _, grants = await leased(node, secret, n=2)
        assert {g.study for g in grants} == {"red"}


async def test_a_loops_lease_is_its_tokens(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        await node.submit()
        reply = await as_who(node, secrets[Role.SUBMITTER], "POST", "/studies/s/ask", {})
        (grant,) = [LeaseGrant.model_validate(g) for g in reply.json()["leases"]]
        path, body = f"/leases/{grant.lease}/finish", {"attempt": 1, "value": 1.0}
        other = await token(node, Role.SUBMITTER, "colleague")
        assert (await as_who(node, other, "POST", path, body)).status_code == 403
        assert (await as_who(node, secrets[Role.SUBMITTER], "POST", path, body)).status_code == 200


async def test_a_reply_stored_for_one_token_is_not_given_to_another(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        keyed = {"Idempotency-Key": "k", **bearer(secrets[Role.SUBMITTER])}
        first = await send(node, "POST", f"{API}/studies", keyed, json=document())
        again = await send(node, "POST", f"{API}/studies", keyed, json=document())
        assert first.content == again.content
        other = {"Idempotency-Key": "k", **bearer(secrets[Role.ADMIN])}
        assert (
            await send(node, "POST", f"{API}/studies", other, json=document())
        ).status_code == 409  # the name is taken: it acted, and got no stored reply
