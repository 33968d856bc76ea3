"""A request sent again under its `Idempotency-Key` gets the same answer and acts once."""

from __future__ import annotations

import asyncio

import pytest

from api.settings import Settings
from tests.api.conftest import Api, external, problem, running
from tests.api.in_process import API

pytestmark = pytest.mark.anyio

KEY = {"Idempotency-Key": "one-submission"}


async def test_same_key_same_body_same_reply(api: Api) -> None:
    document = external(None)
    first = await api.http.post(f"{API}/studies", json=document, headers=KEY)
    await api.patch(f"/studies/{first.json()['id']}", {"state": "paused"})
    second = await api.http.post(f"{API}/studies", json=document, headers=KEY)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert len((await api.get("/studies"))["items"]) == 1


async def test_the_reply_outlives_a_restart(settings: Settings) -> None:
    async with running(settings) as api:
        first = await api.post("/studies", external(None), **KEY)
    async with running(settings) as api:
        assert await api.post("/studies", external(None), **KEY) == first
        assert len((await api.get("/studies"))["items"]) == 1


async def test_same_key_other_request_is_refused(api: Api) -> None:
    study = await api.post("/studies", external(None), **KEY)
    other = await api.http.post(f"{API}/studies", json=external("other"), headers=KEY)
    assert "another request" in problem(other, 422, "invalid-input")["detail"]
    path = f"{API}/studies/{study['id']}/clone"
    problem(await api.http.post(path, json={}, headers=KEY), 422, "invalid-input")


async def test_other_keys_act_again(api: Api) -> None:
    for i in range(2):
        await api.post("/studies", external(None), **{"Idempotency-Key": f"key-{i}"})
    assert len((await api.get("/studies"))["items"]) == 2


async def test_an_error_is_not_kept(api: Api) -> None:
    await api.post(
        "/studies", external("taken", budget={"trials": 1}, space={"x": {"values": [1]}})
    )
    await api.post("/studies/taken/trials", {})
    refused = await api.http.post(f"{API}/studies/taken/trials", json={}, headers=KEY)
    problem(refused, 409, "study-state")
    await api.post("/studies/taken/extend", {"trials": 1})
    accepted = await api.http.post(f"{API}/studies/taken/trials", json={}, headers=KEY)
    assert accepted.status_code == 201


async def test_at_the_same_time_one_acts(api: Api) -> None:
    replies = await asyncio.gather(
        *(api.http.post(f"{API}/studies", json=external(None), headers=KEY) for _ in range(8))
    )
    assert {r.status_code for r in replies} <= {201, 409}
    assert {r.json()["id"] for r in replies if r.status_code == 201} == {1}
    for reply in replies:
        if reply.status_code == 409:
            problem(reply, 409, "key-in-flight")
            assert reply.headers["retry-after"]
    assert len((await api.get("/studies"))["items"]) == 1


async def test_a_key_in_flight_is_refused(api: Api) -> None:
    api.services.keys_in_flight.add(KEY["Idempotency-Key"])
    reply = await api.http.post(f"{API}/studies", json=external(), headers=KEY)
    problem(reply, 409, "key-in-flight")


@pytest.mark.parametrize("key", ["", "x" * 201, "two words", "naïve"])
async def test_odd_keys_are_refused(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    reply = await api.http.post(f"{API}/studies", json=external(), headers=headers)  # type: ignore[arg-type]
    problem(reply, 422, "invalid-input")
