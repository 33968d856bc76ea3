"""Webhooks over the API: made, refused, told in order, tried again, switched off."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from api.webhooks import dispatch, rules
from api.webhooks.address import Ip
from api.webhooks.network import Resolver
from tests.api.conftest import Api, external, running, train
from tests.api.in_process import settings_in
from tests.contract.ledger_database import execute
from tests.receiver import Receiver, documented_verify, receiving

pytestmark = pytest.mark.anyio
LOCAL = ipaddress.ip_address("127.0.0.1")
WORLD = ipaddress.ip_address("8.8.8.8")
PATIENCE_S = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path, webhook_hosts=("127.0.0.1",))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(rules, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(rules, "LONGEST_PAUSE_S", 0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def shown(api: Api, hook: str, **wanted: Any) -> Any:
    """Wait until a webhook is shown with these values."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            view = await api.get(f"/webhooks/{hook}")
            if wanted.items() <= view.items():
                return view
            await asyncio.sleep(0.01)


async def resolved(host: str, _port: int) -> Sequence[Ip]:
    if host == "away.example":
        raise OSError("no such name")
    found = {"inside.example": [LOCAL], "both.example": [WORLD, LOCAL], "none.example": []}
    return found.get(host, [WORLD])


def leading_to(*addresses: Ip) -> Resolver:
    async def resolve(_host: str, _port: int) -> Sequence[Ip]:
        return addresses

    return resolve


async def made(api: Api, receiver: Receiver, **more: Any) -> Any:
    return await api.post("/webhooks", {"url": receiver.url(), **more})


async def run_a_study(api: Api, name: str = "loop", **changes: Any) -> None:
    await api.post("/studies", external(name, budget={"trials": 2, "steps": 5}, **changes))
    await train(api, name, [0.5])
    await train(api, name, [0.4])


async def test_events_are_told_in_order_and_signed(api: Api, receiver: Receiver) -> None:
    hook = await made(api, receiver, events=["study.submitted", "trial.best", "study.finished"])
    await run_a_study(api)
    await until(lambda: len(receiver.got) == 4)
    assert receiver.types == ["study.submitted", "trial.best", "trial.best", "study.finished"]
    assert [g.seq for g in receiver.got] == sorted({g.seq for g in receiver.got})
    for got in receiver.got:
        documented_verify()(hook["secret"], got.headers, got.body)
        assert got.headers["webhook-id"] == f"{hook['id']}-{got.seq}"
    last = receiver.got[-1].message["data"]
    assert last["study"] == {"id": 1, "name": "loop", "project": "default", "state": "finished"}
    trial = receiver.got[1].message["data"]["links"]["trial"]
    assert (await api.get(trial.removeprefix("/api/v1")))["number"] == 0
    view = await shown(api, hook["id"], cursor=receiver.got[-1].seq, attempts=0)
    assert "secret" not in view
    assert "whsec_" not in str(await api.get("/webhooks"))


async def test_a_worse_trial_is_not_the_best(api: Api, receiver: Receiver) -> None:
    await made(api, receiver, events=["trial.best", "study.finished"])
    await api.post("/studies", external(budget={"trials": 3, "steps": 5}))
    for value in (0.5, 0.6, 0.5):
        await train(api, "loop", [value])
    await until(lambda: "study.finished" in receiver.types)
    assert receiver.types == ["trial.best", "study.finished"]
    assert receiver.got[0].message["data"]["event"]["number"] == 0


async def test_only_of_the_studies_asked_for(api: Api, receiver: Receiver) -> None:
    await api.post("/studies", external("mine"))
    await made(api, receiver, events=["study.paused"], study="mine")
    await made(api, receiver, events=["study.resumed"], project="vision")
    await api.post("/studies", external("seen", queue={"project": "vision"}))
    await api.post("/studies", external("other"))
    for name in ("other", "seen", "mine"):
        await api.patch(f"/studies/{name}", {"state": "paused"})
        await api.patch(f"/studies/{name}", {"state": "running"})
    await until(lambda: len(receiver.got) >= 2)
    found = {(g.message["type"], g.message["data"]["study"]["name"]) for g in receiver.got}
    assert found == {("study.paused", "mine"), ("study.resumed", "seen")}


async def test_a_failing_receiver_is_tried_again_before_the_next(
    api: Api, receiver: Receiver
) -> None:
    bad = b"<script>\x00\x1b[31m" + b"x" * 100_000
    receiver.answers = [(500, {}, bad), (302, {"Location": receiver.url()}, b""), (404, {}, b"")]
    hook = await made(api, receiver, events=["study.submitted", "study.finished"])
    await run_a_study(api)
    await until(lambda: len(receiver.got) == 5)
    assert receiver.types == ["study.submitted"] * 4 + ["study.finished"]
    assert len({g.headers["webhook-id"] for g in receiver.got}) == 2
    await shown(api, hook["id"], cursor=receiver.got[-1].seq)
    tried = (await api.get(f"/webhooks/{hook['id']}/deliveries"))["items"]
    assert [(d["status"], d["attempt"]) for d in reversed(tried)] == [
        (500, 1), (302, 2), (404, 3), (200, 4), (200, 1),
    ]  # fmt: skip
    assert "redirects are not followed" in tried[3]["error"]
    assert len(tried[-1]["body"]) <= 4096
    assert tried[-1]["body"].startswith("<script>\N{REPLACEMENT CHARACTER}")
    assert len((await api.get(f"/webhooks/{hook['id']}/deliveries", limit=2))["items"]) == 2


async def test_gone_switches_off_and_says_so(api: Api, receiver: Receiver) -> None:
    receiver.answers = [(410, {}, b"")]
    hook = await made(api, receiver, events=["study.submitted", "study.finished"])
    watch = await made(api, receiver, events=["webhook.disabled"])
    await run_a_study(api)
    view = await shown(api, hook["id"], active=False)
    assert "410" in view["reason"]
    await until(lambda: len(receiver.got) == 2)
    assert receiver.types == ["study.submitted", "webhook.disabled"]
    told = receiver.got[1].message["data"]["event"]["data"]
    assert told == {"webhook": hook["id"], "reason": view["reason"]}
    await api.patch(f"/webhooks/{watch['id']}", {"active": False})
    back = await api.patch(f"/webhooks/{hook['id']}", {"active": True})
    assert (back["active"], back["reason"]) == (True, "")
    await until(lambda: len(receiver.got) == 4)
    assert receiver.types[2:] == ["study.submitted", "study.finished"]


async def test_switched_on_from_now(api: Api, receiver: Receiver) -> None:
    hook = await made(api, receiver, events=["study.submitted"])
    await api.patch(f"/webhooks/{hook['id']}", {"active": False})
    await api.post("/studies", external("missed"))
    await api.patch(f"/webhooks/{hook['id']}", {"active": True, "from_now": True})
    await api.post("/studies", external("told"))
    await until(lambda: bool(receiver.got))
    assert [g.message["data"]["study"]["name"] for g in receiver.got] == ["told"]


async def test_events_wait_for_a_server_that_is_started_again(
    settings: Settings, receiver: Receiver
) -> None:
    async with running(settings) as api:
        hook = await made(api, receiver, events=["study.submitted", "study.finished"])
        await run_a_study(api, "one")
        await until(lambda: len(receiver.got) == 2)
        await shown(api, hook["id"], cursor=receiver.got[-1].seq)
    async with running(replace(settings, webhook_hosts=())) as api:
        await run_a_study(api, "two")
        await shown(api, hook["id"], active=True)
    assert len(receiver.got) == 2
    async with running(settings):
        await until(lambda: len(receiver.got) == 4)
    names = [g.message["data"]["study"]["name"] for g in receiver.got]
    assert names == ["one", "one", "two", "two"]


async def test_what_can_not_be_recorded_is_not_sent_again_meanwhile(
    api: Api, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "AGAIN_S", 0.01)
    hook = await made(api, receiver, events=["study.submitted"])
    tries = 0

    def count(caught: logging.LogRecord) -> bool:
        nonlocal tries
        tries += "not stored yet" in caught.getMessage()
        return True

    logging.getLogger("api.webhooks.dispatch").addFilter(count)
    execute(settings.db_url, "ALTER TABLE tuner_webhook_deliveries RENAME TO away")
    await api.post("/studies", external())
    await until(lambda: tries >= 3)
    execute(settings.db_url, "ALTER TABLE away RENAME TO tuner_webhook_deliveries")
    await shown(api, hook["id"], cursor=receiver.got[0].seq)
    logging.getLogger("api.webhooks.dispatch").removeFilter(count)
    assert len(receiver.got) == 1


async def test_the_cursor_passes_what_is_not_told(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PAGE", 2)
    monkeypatch.setattr(dispatch, "MOST_PASSED", 3)
    hook = await made(api, receiver, events=["study.failed", "study.cancelled"])
    for name in "abcd":
        await run_a_study(api, name)
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get(f"/webhooks/{hook['id']}"))["cursor"] <= hook["cursor"] + 3:
            await asyncio.sleep(0.01)
    await api.post("/studies", external("e"))
    await api.patch("/studies/e", {"state": "cancelled"})
    await until(lambda: bool(receiver.got))
    await shown(api, hook["id"], cursor=receiver.got[-1].seq)
    assert receiver.types == ["study.cancelled"]


async def test_a_webhook_of_a_deleted_study_is_switched_off(api: Api, receiver: Receiver) -> None:
    await api.post("/studies", external())
    hook = await made(api, receiver, study="loop")
    await api.patch("/studies/loop", {"state": "cancelled"})
    assert (await api.http.delete("/api/v1/studies/loop")).is_success
    assert (await shown(api, hook["id"], active=False))["reason"] == "its study was deleted"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example/", "https"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://inside.example/", "not public"),
        ("https://both.example/", "not public"),
        ("https://away.example/", "can't be resolved"),
        ("https://none.example/", "no address"),
    ],
)
async def test_a_url_that_leads_inside_is_refused(api: Api, url: str, why: str) -> None:
    api.services.network.resolve = resolved
    body = {"url": url}
    problem = await api.refused(422, "invalid-input", "POST", "/webhooks", json=body)
    assert why in problem["detail"]
    assert problem["faults"][0]["where"] == "url"
    assert (await api.get("/webhooks"))["items"] == []
    hook = await api.post("/webhooks", {"url": "https://hooks.example/"})
    path = f"/webhooks/{hook['id']}"
    await api.refused(422, "invalid-input", "PATCH", path, json=body)
    assert (await api.get(path))["url"] == "https://hooks.example/"


async def test_a_name_that_leads_inside_later_is_refused_then(api: Api, receiver: Receiver) -> None:
    api.services.network.resolve = leading_to(WORLD)
    url = f"https://hooks.example:{receiver.port}/"
    hook = await api.post("/webhooks", {"url": url, "events": ["study.submitted"]})
    api.services.network.resolve = leading_to(LOCAL)
    tried = await api.post(f"/webhooks/{hook['id']}/test", {})
    assert not tried["delivered"]
    assert tried["error"].startswith("refused: ")
    await api.post("/studies", external())
    await until(lambda: api.services.ledger.memory.webhook(hook["id"]).attempts >= 2)
    assert receiver.got == []
    newest = (await api.get(f"/webhooks/{hook['id']}/deliveries"))["items"][0]
    assert "not public" in newest["error"]
    assert "status" not in newest or newest["status"] is None


async def test_trying_a_webhook(api: Api, receiver: Receiver) -> None:
    hook = await made(api, receiver)
    tried = await api.post(f"/webhooks/{hook['id']}/test", {})
    assert (tried["delivered"], tried["status"], tried["body"]) == (True, 200, "ok")
    assert receiver.types == ["webhook.test"]
    documented_verify()(hook["secret"], receiver.got[0].headers, receiver.got[0].body)
    listed = (await api.get(f"/webhooks/{hook['id']}/deliveries"))["items"]
    assert listed == [tried]


async def test_what_is_refused(api: Api, receiver: Receiver) -> None:
    refusals: list[dict[str, Any]] = [
        {},
        {"url": receiver.url(), "events": []},
        {"url": receiver.url(), "events": ["study.exploded"]},
        {"url": receiver.url(), "secret": "mine"},
        {"url": 7},
    ]
    for body in refusals:
        await api.refused(422, "invalid-input", "POST", "/webhooks", json=body)
    missing = {"url": receiver.url(), "study": "nothing"}
    await api.refused(404, "not-found", "POST", "/webhooks", json=missing)
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        body = {"json": {}} if method in ("PATCH", "POST") else {}
        await api.refused(404, "not-found", method, f"/webhooks/wh_0{path}", **body)
    await api.refused(404, "not-found", "GET", "/webhooks/wh_0/deliveries")


async def test_the_same_key_makes_one(api: Api, receiver: Receiver) -> None:
    body = {"url": receiver.url()}
    first = await api.post("/webhooks", body, **{"Idempotency-Key": "once"})
    assert await api.post("/webhooks", body, **{"Idempotency-Key": "once"}) == first
    assert len((await api.get("/webhooks"))["items"]) == 1
    removed = await api.http.delete(f"/api/v1/webhooks/{first['id']}")
    assert removed.json()["id"] == first["id"]
    assert (await api.get("/webhooks"))["items"] == []
