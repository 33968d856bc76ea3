"""Every POST that creates takes an `Idempotency-Key`; the others may be sent again as they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.idempotency import key_of
from api.routes import ROUTERS
from tests.api.conftest import Api, external, problem
from tests.api.in_process import API

pytestmark = pytest.mark.anyio
BY_DESIGN = {
    *("report", "heartbeat", "send_logs", "create_token", "test_webhook"),
    *("ask_upload", "register_artifact", "register_checkpoint", "reject_checkpoint"),
}
"""A kept reply would hold a token's secret; a test message creates nothing; leases' are levels."""
WORKER = {"name": "w", "host": "h", "slots": 1, "allow": [], "tasks": ["digits-mlp"]}
RECEIVER = {"url": "https://1.1.1.1/x"}
ADOPTED = external("adopted")
TRIALS: dict[str, Any] = {"first": 0, "distributions": [], "trials": [], "last": True}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "submit_study": ("/studies", external("new"), external("newer")),
    "adopt_study": ("/studies/import", {"document": ADOPTED}, {"document": external("more")}),
    "adopt_trials": ("/studies/adopted/import", TRIALS, {**TRIALS, "last": False}),
    "extend_study": ("/studies/loop/extend", {"trials": 1}, {"trials": 2}),
    "clone_study": ("/studies/loop/clone", {"name": "c"}, {"name": "d"}),
    "enqueue_trial": ("/studies/loop/trials", {"params": {"lr": 0.5}}, {"params": {"lr": 0.6}}),
    "stop_trial": ("/studies/loop/trials/0/stop", {"why": "a"}, {"why": "b"}),
    "cut_rate": ("/studies/loop/trials/0/rate", {"factor": 0.5}, {"factor": 0.25}),
    "save_view": ("/views", {"name": "v", "query": "a=1"}, {"name": "v", "query": "a=2"}),
    "ask_trial": ("/studies/loop/ask", {"wait_s": 0}, {"wait_s": 0.001}),
    "create_webhook": ("/webhooks", RECEIVER, {**RECEIVER, "url": "https://1.0.0.1/x"}),
    "register_worker": ("/workers", WORKER, {**WORKER, "slots": 2}),
    "acquire_leases": ("/leases", {"worker_id": "WORKER", "n": 1}, {"worker_id": "WORKER", "n": 2}),
    "finish_trial": ("/leases/LEASE/finish", {"attempt": 1, "value": 0.5}, {"attempt": 1}),
    "release_trial": ("/leases/LEASE/release", {"attempt": 1}, {"attempt": 1, "reason": "x"}),
}


def posts() -> dict[str, APIRoute]:
    """Return every POST route by its operation."""
    return {
        str(route.operation_id): route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "POST" in (route.methods or ())
    }


def test_every_post_is_tried_here() -> None:
    assert posts().keys() == CASES.keys() | BY_DESIGN
    for name in CASES:
        calls = [d.call for d in posts()[name].dependant.dependencies]
        assert key_of in calls, name


async def prepared(api: Api, name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Make what the request of an operation needs, and return its path and two bodies."""
    path, body, other = CASES[name]
    await api.post("/studies", external())
    if name == "adopt_trials":
        await api.post("/studies/import", {"document": ADOPTED})
    if name == "acquire_leases":
        trained: dict[str, Any] = {"objective": {"metric": "val_loss"}}
        trained |= {"space": {"lr": {"min": 0.1, "max": 1.0}}, "run": {"task": "digits-mlp"}}
        await api.post("/studies", external("trained", **trained))
        worker = (await api.post("/workers", WORKER))["worker_id"]
        body, other = body | {"worker_id": worker}, other | {"worker_id": worker}
    if "LEASE" in path or "trials/0" in path:
        lease = (await api.post("/studies/loop/ask", {}))["leases"][0]["lease"]
        path = path.replace("LEASE", lease)
    return path, body, other


@pytest.mark.parametrize("name", CASES)
async def test_a_key_acts_once(api: Api, name: str) -> None:
    path, body, other = await prepared(api, name)
    key = {"Idempotency-Key": "one"}
    replies = await asyncio.gather(
        *(api.http.post(API + path, json=body, headers=key) for _ in range(4))
    )
    done = [r for r in replies if r.is_success]
    assert done, replies[0].text
    for reply in replies:
        if not reply.is_success:
            problem(reply, 409, "key-in-flight")
    again = await api.http.post(API + path, json=body, headers=key)
    assert {(r.status_code, r.content) for r in (*done, again)} == {
        (done[0].status_code, done[0].content)
    }
    refusal = await api.http.post(API + path, json=other, headers=key)
    assert "another request" in problem(refusal, 422, "invalid-input")["detail"]


@pytest.mark.parametrize("name", CASES)
async def test_a_key_in_flight_waits(api: Api, name: str) -> None:
    path, body, _ = await prepared(api, name)
    api.services.keys_in_flight.add("one")
    reply = await api.http.post(API + path, json=body, headers={"Idempotency-Key": "one"})
    problem(reply, 409, "key-in-flight")
