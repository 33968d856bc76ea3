"""What trials print: who may send it, what is kept, who reads it, and how it is followed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.files import orphans
from api.limits.settings import Limits
from api.trial_logs import LATE_S
from tests.api.conftest import problem
from tests.api.in_process import API
from tests.api.node import Clock, Node, serve
from tests.api.people import as_who, peopled, token
from tuner.access import Role
from tuner.wire import LeaseGrant, LogResult, LogResults

pytestmark = pytest.mark.anyio


def item(
    grant: LeaseGrant, *texts: str, first: int = 0, last: bool = False, age_s: float = 0.0
) -> dict[str, Any]:
    lines = [{"age_s": age_s, "text": text} for text in texts]
    held = {"lease": grant.lease, "attempt": grant.attempt}
    return {**held, "first": first, "lines": lines, "last": last}


async def sent(node: Node, *items: dict[str, Any]) -> list[LogResult]:
    reply = await node.post("/logs", {"logs": list(items)})
    assert reply.status_code == 200, reply.text
    return LogResults.model_validate_json(reply.content).results


async def log(node: Node, number: int = 0, **query: Any) -> httpx.Response:
    reply = await node.http.get(f"{API}/studies/s/trials/{number}/log", params=query)
    assert reply.status_code == 200, reply.text
    return reply


async def started(node: Node) -> LeaseGrant:
    await node.submit()
    return await node.ask()


async def test_lines_come_back_as_text_that_nothing_runs(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        nasty = "<script>alert(1)</script> \x1b[31mred\x1b[0m \x07 \u202eback"
        assert [r.next for r in await sent(node, item(grant, "one", nasty, ""))] == [3]
        reply = await log(node)
        assert reply.text == "one\n<script>alert(1)</script> red \ufffd \ufffdback\n\n"
        assert reply.headers.get_list("content-type") == ["text/plain; charset=utf-8"]
        assert reply.headers.get_list("x-content-type-options") == ["nosniff"]
        assert reply.headers["content-security-policy"] == "sandbox"
        assert reply.headers["x-log-attempt"] == "1"
        assert reply.headers["x-log-end"] == "false"
        more = await log(node, offset=reply.headers["x-log-next"])
        assert (more.text, more.headers["x-log-next"]) == ("", reply.headers["x-log-next"])


async def test_each_line_has_its_time(tmp_path: Path) -> None:
    clock = Clock(seconds=10.0)
    async with serve(tmp_path, clock) as node:
        grant = await started(node)
        await sent(node, item(grant, "one", age_s=2.5))
        assert (await log(node, times="true")).text == "2026-01-01T00:00:07.500Z one\n"


async def test_a_batch_sent_again_is_kept_once(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        for _ in range(3):
            assert (await sent(node, item(grant, "a", "b")))[0].next == 2
        assert (await sent(node, item(grant, "b", "c", first=1)))[0].next == 3
        assert (await log(node)).text == "a\nb\nc\n"


async def test_items_are_answered_one_by_one(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        wrong = item(grant, "x") | {"lease": "l1-0-1-" + "a" * 24}
        other = item(grant, "x") | {"attempt": 2}
        made_up = item(grant, "x") | {"lease": "made-up-lease"}
        found = await sent(node, wrong, item(grant, "a"), other, made_up)
        kinds = [r.problem.type if r.problem else r.next for r in found]
        stale = "/problems/stale-attempt"
        assert kinds == [stale, 1, stale, stale]
        assert (await log(node)).text == "a\n"


async def test_only_who_holds_the_trial_writes_and_only_people_read(tmp_path: Path) -> None:
    async with peopled(tmp_path) as (node, secrets):
        await node.submit(run={"entrypoint": "pkg.train:main"})
        worker = secrets[Role.WORKER]
        known = await as_who(
            node,
            worker,
            "POST",
            "/workers",
            {"name": "w", "host": "h", "slots": 1, "allow": ["pkg.*:*"]},
        )
        ask = {"worker_id": known.json()["worker_id"], "wait_s": 0.0}
        reply = await as_who(node, worker, "POST", "/leases", ask)
        grant = LeaseGrant.model_validate(reply.json()["leases"][0])
        body = {"logs": [item(grant, "mine")]}
        other = await token(node, Role.WORKER, "other")
        refused = (await as_who(node, other, "POST", "/logs", body)).json()["results"][0]
        assert refused["problem"]["type"] == "/problems/not-allowed"
        taken = (await as_who(node, worker, "POST", "/logs", body)).json()["results"][0]
        assert taken["next"] == 1
        path = "/studies/s/trials/0/log"
        assert (await as_who(node, worker, "GET", path)).status_code == 403
        assert (await as_who(node, secrets[Role.VIEWER], "GET", path)).text == "mine\n"
        away = await token(node, Role.VIEWER, "away", project="elsewhere")
        assert (await as_who(node, away, "GET", path)).status_code == 404
        foreign = await token(node, Role.WORKER, "foreign", project="elsewhere")
        refused = (await as_who(node, foreign, "POST", "/logs", body)).json()["results"][0]
        assert refused["problem"]["type"] == "/problems/not-allowed"


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("before", [False, True])
async def test_last_words_come_shortly_after_the_end(
    tmp_path: Path, before: bool, restart: bool
) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        grant = await started(node)
        if before:
            await sent(node, item(grant, "a"))
        await node.finish(grant, value=1.0)
        if not restart:
            assert (await sent(node, item(grant, "b", first=int(before))))[0].next == 1 + before
    async with serve(tmp_path, clock) as node:
        found = await sent(node, item(grant, "b", first=int(before)))
        assert found[0].next == 1 + before
        clock.seconds += LATE_S + 1
        (late,) = await sent(node, item(grant, "c", first=9))
        assert late.problem is not None
        assert late.problem.type == "/problems/stale-attempt"
        assert (await log(node)).text == ("a\nb\n" if before else "b\n")


async def test_another_token_has_no_last_words(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        await node.finish(grant, value=1.0)
        forged = grant.lease[:-1] + ("a" if grant.lease[-1] != "a" else "b")
        (found,) = await sent(node, item(grant, "x") | {"lease": forged})
        assert found.problem is not None
        other = await token(node, Role.SUBMITTER, "other")
        reply = await as_who(node, other, "POST", "/logs", {"logs": [item(grant, "x")]})
        assert reply.json()["results"][0]["problem"]["type"] == "/problems/not-allowed"
        assert (await log(node)).text == ""


async def test_a_new_attempt_has_its_own_log(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        first = await started(node)
        await sent(node, item(first, "first", last=True))
        await node.finish(first, outcome="failed", error="x")
        second = await node.ask()
        assert second.attempt == 2
        assert (await log(node)).text == ""
        await sent(node, item(second, "second"))
        assert (await log(node)).text == "second\n"
        old = await log(node, attempt=1)
        assert (old.text, old.headers["x-log-end"]) == ("first\n", "true")
        gone = await node.http.get(f"{API}/studies/s/trials/0/log", params={"attempt": 3})
        problem(gone, 404, "not-found")


async def test_a_log_survives_a_restart_and_goes_with_its_study(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        await sent(node, item(grant, "before"))
    async with serve(tmp_path, Clock()) as node:
        await sent(node, item(grant, "after", first=1))
        assert (await log(node)).text == "before\nafter\n"
        reply = await node.http.patch(f"{API}/studies/s", json={"state": "cancelled"})
        assert reply.status_code == 200
        assert list((tmp_path / "artifacts").rglob("log-*"))
        assert (await node.http.delete(f"{API}/studies/s")).status_code == 200
        assert not list((tmp_path / "artifacts").rglob("log-*"))
        (late,) = await sent(node, item(grant, "late", first=2))
        assert late.problem is not None
        assert not list((tmp_path / "artifacts").rglob("log-*"))


async def test_a_log_stays_as_long_as_its_attempt_is_known(tmp_path: Path) -> None:
    """The sweep of files that nothing names takes logs of attempts that no one knows any more."""
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        await sent(node, item(grant, "kept"))
        (path,) = (tmp_path / "artifacts").rglob("log-*")
        unknown = path.with_name(f"log-1-{'0' * 12}-0-0.txt")
        unknown.write_text("of a lost attempt\n")
        swept = await orphans.sweep(node.services, old=timedelta(days=-36500))
        assert [Path(key).name for key in swept] == [unknown.name]
        assert (await log(node)).text == "kept\n"


async def test_logs_beside_a_store_in_a_cloud_go_with_their_study(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/x"
    async with serve(tmp_path, Clock(), artifact_url=url) as node:
        grant = await started(node)
        await sent(node, item(grant, "kept"))
        (path,) = (tmp_path / "artifacts").rglob("log-*")
        path.with_name(f"log-1-{'0' * 12}-0-0.txt").write_text("of a lost attempt\n")
        assert len(await orphans.sweep(node.services, old=timedelta(days=-36500))) == 1
        assert (await log(node)).text == "kept\n"
        await node.http.patch(f"{API}/studies/s", json={"state": "cancelled"})
        assert (await node.http.delete(f"{API}/studies/s")).status_code == 200
        assert not list((tmp_path / "artifacts").rglob("log-*"))


async def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    limits = Limits(rate=0.0, log_bytes=20_000)
    async with serve(tmp_path, Clock(), limits=limits) as node:
        grant = await started(node)
        for first in range(0, 2000, 200):
            texts = [f"line {n:05}" for n in range(first, first + 200)]
            await sent(node, item(grant, *texts, first=first))
        text = (await log(node)).text
        assert text.startswith("line 00000\n")
        assert text.endswith("line 01999\n")
        assert "bytes are no longer kept" in text
        stored = list((tmp_path / "artifacts").rglob("log-*"))
        assert sum(path.stat().st_size for path in stored) <= 25_000
        end = await log(node, offset=-100)
        assert end.text.endswith("line 01999\n")
        assert len(end.text) < 100


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 0},
        {"first": -1},
        {"lines": [{"text": "x" * 20_001}]},
        {"lines": [{"text": "a", "age_s": -1.0}]},
        {"lines": [{"text": 1}]},
        {"lines": [{"text": "a"}] * 5001},
        {"lease": "../../../etc"},
        {"more": 1},
    ],
)
async def test_what_is_no_log_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        reply = await node.post("/logs", {"logs": [item(grant, "a") | change]})
        problem(reply, 422, "invalid-input")


@pytest.mark.parametrize(
    "query", [{"attempt": 0}, {"offset": "x"}, {"offset": 2**60}, {"wait_s": 61}, {"tail": 1}]
)
async def test_odd_questions_are_refused(tmp_path: Path, query: dict[str, Any]) -> None:
    async with serve(tmp_path, Clock()) as node:
        await started(node)
        reply = await node.http.get(f"{API}/studies/s/trials/0/log", params=query)
        problem(reply, 422, "invalid-input")


async def test_a_reader_waits_for_the_next_lines(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        waiting = asyncio.create_task(log(node, wait_s=60))
        await asyncio.sleep(0)
        await sent(node, item(grant, "a"))
        reply = await waiting
        assert (reply.text, reply.headers["x-log-end"]) == ("a\n", "false")
        waiting = asyncio.create_task(log(node, wait_s=60, offset=reply.headers["x-log-next"]))
        await node.finish(grant, value=1.0)
        await sent(node, item(grant, "b", first=1, last=True))
        reply = await waiting
        assert reply.text == "b\n"
        rest = await log(node, wait_s=60, offset=reply.headers["x-log-next"])
        assert (rest.text, rest.headers["x-log-end"]) == ("", "true")


async def test_a_reader_may_come_before_the_first_attempt(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        await node.submit()
        reply = await node.post("/studies/s/trials", {"params": {"x": 0.1, "y": 0.5}})
        assert reply.status_code == 201
        early = await log(node)
        assert (early.text, early.headers["x-log-attempt"]) == ("", "0")
        waiting = asyncio.create_task(log(node, wait_s=60))
        await asyncio.sleep(0)
        grant = await node.ask()
        assert grant.number == 0
        reply = await waiting
        assert (reply.headers["x-log-attempt"], reply.headers["x-log-end"]) == ("0", "true")


async def test_a_trial_that_printed_nothing_has_an_end(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock) as node:
        grant = await started(node)
        await node.finish(grant, value=1.0)
        assert (await log(node)).headers["x-log-end"] == "false"  # its output may be on its way
        clock.seconds += 10
        assert (await log(node)).headers["x-log-end"] == "true"


async def test_a_full_disk_is_said_and_the_log_goes_on(tmp_path: Path) -> None:
    async with serve(tmp_path, Clock()) as node:
        grant = await started(node)
        folder = tmp_path / "artifacts" / str(grant.study_id)
        folder.write_text("in the way")
        (full,) = await sent(node, item(grant, "a"))
        assert full.problem is not None
        assert full.problem.status == 507
        folder.unlink()
        assert (await sent(node, item(grant, "a", "b")))[0].next == 2
        assert (await log(node)).text == "a\nb\n"
