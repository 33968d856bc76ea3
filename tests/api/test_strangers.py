"""What strangers can't do: hold others up, log them out, or learn of their studies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.limits.rate import RateLimit
from api.limits.settings import Limits, Quota
from api.sessions import _MOST_EACH, Sessions
from api.standby import Front
from api.throttle import neighbourhood
from tests.api.conftest import problem
from tests.api.in_process import API, TOKEN, URL, settings_in
from tests.api.node import Node, document, serve
from tests.api.people import as_who, bearer, send, token
from tests.api.test_artifacts import files
from tuner.access import BUILT_IN_ADMIN, Role

pytestmark = pytest.mark.anyio


async def log_in(node: Node, secret: str, **headers: str) -> httpx.Response:
    reply = await send(node, "POST", "/session", headers, json={"token": secret})
    assert reply.status_code == 200, reply.text
    return reply


async def test_a_form_of_many_fields_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        fields = {f"field{n}": "x" for n in range(50)}
        reply = await send(node, "POST", "/session", {"Origin": URL}, data=fields)
        assert "more than 10 fields" in problem(reply, 422, "invalid-input")["detail"]


@pytest.mark.parametrize(
    "neighbour", ['a={"b":[1,2]}', 'a="\\', "a=b c; =; ;;", 'x="' + "\\" * 200, "tuner_session"]
)
async def test_other_programs_cookies_do_not_hide_the_session(
    tmp_path: Path, neighbour: str
) -> None:
    async with serve(tmp_path) as node:
        cookie = (await log_in(node, await token(node, Role.VIEWER))).headers["set-cookie"]
        own = cookie.partition(";")[0]
        for both in (f"{neighbour}; {own}", f"{own}; {neighbour}"):
            reply = await send(node, "GET", f"{API}/studies", {"Cookie": both})
            assert reply.status_code == 200, both


async def test_a_log_in_ends_the_session_it_takes_the_place_of(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        secret = await token(node, Role.VIEWER)
        first = (await log_in(node, secret)).headers["set-cookie"].partition(";")[0]
        await log_in(node, secret, Cookie=first)
        reply = await send(node, "GET", f"{API}/studies", {"Cookie": first})
        problem(reply, 401, "not-authenticated")


def test_who_logs_in_often_logs_nobody_else_out() -> None:
    now = 0.0
    sessions = Sessions(monotonic=lambda: now, idle_s=1e6, most_s=1e6)
    kept, _ = sessions.start(BUILT_IN_ADMIN, None)
    first, _ = sessions.start(BUILT_IN_ADMIN, "a-digest")
    for _ in range(_MOST_EACH):
        now += 1
        sessions.start(BUILT_IN_ADMIN, "a-digest")
    assert sessions.find(kept) is not None
    assert sessions.find(first) is None


async def test_strangers_use_up_no_others_log_in(tmp_path: Path) -> None:
    limits = Limits(rate=0.001, rate_burst=3)
    chosen: dict[str, Any] = {"limits": limits, "behind_proxy": True}
    async with serve(tmp_path, **chosen) as node:

        async def page(address: str) -> int:
            reply = await send(node, "GET", "/login", {"X-Forwarded-For": address})
            return reply.status_code

        assert [await page("203.0.113.9") for _ in range(5)] == [200, 200, 200, 429, 429]
        assert [await page("2001:db8::1") for _ in range(3)] == [200] * 3
        assert await page("2001:db8::2:7") == 429  # the same network is the same stranger
        assert await page("203.0.113.10") == 200
        assert (await node.http.get(f"{API}/studies")).status_code == 200


async def test_strangers_are_forgotten(tmp_path: Path) -> None:
    async def nothing(*_: Any) -> Any:
        return None

    limit = RateLimit(nothing, Limits(), lambda: 0.0)
    for n in range(10_100):
        state = {"address": f"10.0.{n // 256}.{n % 256}"}
        await limit({"type": "http", "path": "/login", "state": state}, nothing, nothing)
    assert len(limit._strangers) == 10_000
    assert limit._buckets == {}


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_neighbourhoods(address: str, place: str) -> None:
    assert neighbourhood(address) == place


async def test_a_weak_admin_token_can_not_be_guessed_at_a_standby(tmp_path: Path) -> None:
    front = Front(settings_in(tmp_path, limits=Limits(wrong_tokens=2, wrong_token_s=1e6)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url=URL) as http:

        async def status(secret: str) -> int:
            return (await http.get("/metrics", headers=bearer(secret))).status_code

        assert [await status(s) for s in (TOKEN, "a", "b", TOKEN)] == [200, 503, 503, 503]


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("10.0.0.1, 203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unknown", "unknown"),
    ],
)
async def test_the_address_that_a_proxy_tells(tmp_path: Path, said: str, address: str) -> None:
    async with serve(tmp_path, behind_proxy=True) as node:
        headers = {"X-Forwarded-For": said, **bearer(TOKEN)}
        await send(node, "POST", f"{API}/studies", headers, json=document())
        (entry,) = (await node.http.get(f"{API}/audit")).json()["items"]
        assert entry["address"] == address


async def test_a_hidden_study_is_told_of_as_one_that_is_not_there(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(name="theirs", queue={"project": "theirs"})
        mine = await token(node, Role.SUBMITTER, project="mine")
        for ref in ("1", "01", "0001", "theirs"):
            hidden = await as_who(node, mine, "GET", f"/studies/{ref}")
            told = problem(hidden, 404, "not-found")["detail"]
            other = ref.replace("1", "7").replace("theirs", "missing")
            missing = problem(
                await as_who(node, mine, "GET", f"/studies/{other}"), 404, "not-found"
            )
            assert told.replace("1", "7").replace("theirs", "missing") == missing["detail"], ref


async def test_a_taken_name_does_not_tell_the_hidden_studys_id(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(name="theirs", queue={"project": "theirs"})
        await node.submit(name="own", queue={"project": "mine"})
        mine = await token(node, Role.SUBMITTER, project="mine")
        for path, body in (
            ("/studies", document(name="theirs")),
            ("/studies?dry_run=true", document(name="theirs")),
            ("/studies/own/clone", {"name": "theirs"}),
            ("/studies/import", {"document": document(name="theirs")}),
        ):
            reply = await as_who(node, mine, "POST", path, body)
            assert problem(reply, 409, "duplicate-name")["extra"] == {}, path
        reply = await as_who(node, mine, "POST", "/studies", document(name="own"))
        assert problem(reply, 409, "duplicate-name")["extra"] == {"study_id": 2}


async def test_one_persons_keys_are_not_anothers(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        key = {"Idempotency-Key": "first-walk"}
        found = []
        for n, secret in enumerate([await token(node, Role.SUBMITTER, f"p{n}") for n in range(2)]):
            headers = {**bearer(secret), **key}
            for _ in range(2):
                reply = await send(
                    node, "POST", f"{API}/studies", headers, json=document(name=f"s{n}")
                )
                assert reply.status_code == 201, reply.text
                found.append(reply.json()["id"])
        assert found == [1, 1, 2, 2]
        assert (await node.post("/studies", document(name="s3"), "first-walk")).status_code == 201


async def test_workers_of_other_projects_are_left_out(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        everyones = await node.register()
        worker = {"name": "w", "host": "secret-host", "slots": 1}
        theirs = await token(node, Role.WORKER, project="theirs")
        assert (await as_who(node, theirs, "POST", "/workers", worker)).status_code == 201
        for project, count in (("mine", 1), ("theirs", 2), (None, 2)):
            viewer = await token(node, Role.VIEWER, f"v-{project}", project=project)
            items = (await as_who(node, viewer, "GET", "/workers")).json()["items"]
            assert len(items) == count
            assert everyones in {w["worker_id"] for w in items}


async def test_tries_of_webhooks_are_in_the_audit_log(tmp_path: Path) -> None:
    async with serve(tmp_path, webhook_hosts=("localhost",)) as node:
        made = await node.post("/webhooks", {"url": "http://localhost:9/"})
        assert made.status_code == 201, made.text
        hook = made.json()["id"]
        assert (await node.post(f"/webhooks/{hook}/test", {})).status_code == 200
        (entry,) = (await node.http.get(f"{API}/audit?action=webhook-test")).json()["items"]
        assert entry["detail"] == {"webhook": hook, "status": None}


async def test_an_admin_who_ends_anothers_trial_is_in_the_audit_log(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit()
        secret = await token(node, Role.SUBMITTER)
        for way, body in (("finish", {"attempt": 1, "value": 1.0}), ("release", {"attempt": 1})):
            own = await node.ask()
            asked = await as_who(node, secret, "POST", "/studies/s/ask", {})
            (others,) = asked.json()["leases"]
            for lease in (own.lease, others["lease"]):
                reply = await node.post(f"/leases/{lease}/{way}", body)
                assert reply.status_code == 200, reply.text
            (entry,) = (await node.http.get(f"{API}/audit?action={way}")).json()["items"]
            assert (entry["study"], entry["detail"]) == ("s", {"number": others["number"]})


async def test_an_admin_who_signs_anothers_worker_off_is_in_the_audit_log(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        worker = {"name": "w", "host": "h", "slots": 1}
        secret = await token(node, Role.WORKER)
        ids = [
            (await as_who(node, secret, "POST", "/workers", worker)).json()["worker_id"],
            await node.register(),
        ]
        for worker_id in ids:
            assert (await node.http.delete(f"{API}/workers/{worker_id}")).status_code == 204
        (entry,) = (await node.http.get(f"{API}/audit?action=sign-off")).json()["items"]
        assert entry["detail"] == {"worker": ids[0], "name": "w"}


async def test_a_checkpoint_beyond_the_quota_is_refused_while_it_comes(tmp_path: Path) -> None:
    limits = Limits(rate=0.0, quotas={"*": Quota(artifact_bytes=1000)})
    async with serve(tmp_path, limits=limits) as node:
        await node.submit()
        grant = await node.ask()
        sent = 0

        async def body() -> Any:
            nonlocal sent
            for _ in range(100):
                sent += 1
                yield b"x" * 500

        reply = await node.http.put(
            f"{API}/leases/{grant.lease}/checkpoints/1",
            params={"attempt": 1, "sha256": hashlib.sha256(b"x" * 50_000).hexdigest()},
            content=body(),
            headers={"Content-Type": "application/octet-stream"},
        )
        problem(reply, 409, "quota-reached")
        assert sent < 100
        assert files(node) == []


async def test_nul_in_a_query_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        for path in ("/audit?who=a%00b", "/audit?study=%00", "/studies?name=%00"):
            reply = await node.http.get(API + path)
            assert "NUL" in problem(reply, 422, "invalid-input")["detail"]
