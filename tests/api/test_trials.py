"""Trials: lists, curves, and those a person asks for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.api.conftest import Api, external, running, train
from tests.api.in_process import API
from tuner.trial import Checkpoint

pytestmark = pytest.mark.anyio

BARE: dict[str, Any] = {
    "space": {"depth": {"min": 1, "max": 9}, "rate": {"min": 0.0, "max": 1.0}},
    "constraints": ["depth * rate <= 8"],
}


async def numbers(api: Api, **query: Any) -> list[int]:
    page = await api.get("/studies/loop/trials", **query)
    return [t["number"] for t in page["items"]]


async def test_list_is_filtered_sorted_and_paged(api: Api) -> None:
    await api.post("/studies", external(**BARE, policies=[{"name": "divergence"}]))
    for values in ([0.5], [0.25], [0.75], [0.5, 1e9]):
        await train(api, "loop", values)
    await api.post("/studies/loop/trials", {})
    assert await numbers(api) == [0, 1, 2, 3, 4]
    assert await numbers(api, sort="value") == [1, 0, 2, 3, 4]
    assert await numbers(api, state="waiting") == [4]
    assert await numbers(api, outcome="diverged") == [3]
    first = await api.get("/studies/loop/trials", sort="value", limit=2)
    assert [t["number"] for t in first["items"]] == [1, 0]
    rest = await api.get("/studies/loop/trials", sort="value", limit=5, cursor=first["next_cursor"])
    assert [t["number"] for t in rest["items"]] == [2, 3, 4]
    assert rest["next_cursor"] is None


async def test_more_filters_and_orders(api: Api) -> None:
    await api.post("/studies", external(**BARE))
    for values in ([0.5], [0.25, 0.25], [0.75]):
        await train(api, "loop", values)
    await api.post("/studies/loop/trials", {})
    assert await numbers(api, sort="-number") == [3, 2, 1, 0]
    assert await numbers(api, sort="-value") == [2, 0, 1, 3]
    assert await numbers(api, origin="enqueued") == [3]
    assert await numbers(api, min_value=0.5) == [0, 2]
    assert await numbers(api, min_value=0.25, max_value=0.5) == [0, 1]
    shown = (await api.get("/studies/loop/trials", sort="duration"))["items"]
    assert shown[-1]["number"] == 3
    ended = sorted(shown[:-1], key=lambda t: (_seconds(t), t["number"]))
    assert [t["number"] for t in shown[:-1]] == [t["number"] for t in ended]


def _seconds(trial: dict[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(trial[k]) for k in ("started_at", "ended_at"))
    return (end - begin).total_seconds()


@pytest.mark.parametrize(
    "query",
    ["sort=params", "sort=value;--", "min_value=nan", "max_value=inf", "min_value=1e999",
     "origin=nowhere", "outcome=' OR 1=1 --", "min_value=", "cursor=bm90IG91cnM"],
)  # fmt: skip
async def test_bad_filters_are_refused(api: Api, query: str) -> None:
    await api.post("/studies", external(**BARE))
    await api.refused(422, "invalid-input", "GET", f"/studies/loop/trials?{query}")


async def test_largest_first_where_larger_is_better(api: Api) -> None:
    await api.post("/studies", external(objective={"metric": "acc", "mode": "max"}, **BARE))
    for value in (0.5, 0.75, 0.25):
        await train(api, "loop", [value])
    assert await numbers(api, sort="value") == [1, 0, 2]
    assert (await api.get("/studies/loop/best"))["number"] == 1


async def test_detail_has_curve_metrics_and_events(api: Api) -> None:
    await api.post("/studies", external(**BARE))
    await train(api, "loop", [0.5, 0.25])
    trial = await api.get("/studies/loop/trials/0")
    assert [(r["step"], r["value"], r["status"]) for r in trial["reports"]] == [
        (1, 0.5, "ok"),
        (2, 0.25, "ok"),
    ]
    assert trial["reports"][1]["metrics"] == {"accuracy": 0.75}
    assert [e["kind"] for e in trial["events"]] == ["leased", "ended"]
    assert (trial["outcome"], trial["value"], trial["last_value"]) == ("complete", 0.25, 0.25)
    await api.refused(404, "not-found", "GET", "/studies/loop/trials/7")


async def test_a_value_that_is_no_number_reads_as_null(api: Api) -> None:
    await api.post("/studies", external(**BARE))
    lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    report = {"lease": lease["lease"], "attempt": 1, "step": 1, "value": None, "status": "diverged"}
    await api.post("/reports", {"reports": [report]})
    trial = await api.get("/studies/loop/trials/0")
    assert (trial["reports"][0]["value"], trial["reports"][0]["status"]) == (None, "nan")
    assert (trial["value"], trial["last_value"], trial["outcome"]) == (None, None, "diverged")


async def test_enqueue_fills_in_the_middle_and_runs_first(api: Api) -> None:
    await api.post("/studies", external(**BARE))
    trial = await api.post("/studies/loop/trials", {"params": {"depth": 2}})
    assert trial["params"] == {"depth": 2, "rate": 0.5}
    assert (trial["origin"], trial["state"], trial["number"]) == ("enqueued", "waiting", 0)
    like = await api.post("/studies/loop/trials", {"like": 0, "params": {"rate": 1}})
    assert like["params"] == {"depth": 2, "rate": 1.0}
    lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    assert lease["params"] == {"depth": 2, "rate": 0.5}


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"params": {"depth": 10}}, "depth"),
        ({"params": {"depth": 2.5}}, "depth"),
        ({"params": {"depth": "2"}}, "depth"),
        ({"params": {"depth": True}}, "depth"),
        ({"params": {"deep": 2}}, "deep"),
        ({"params": {"depth": 9, "rate": 1.0}}, "constraint"),
        ({"from_checkpoint": True}, "like"),
    ],
)
async def test_enqueue_refuses_what_lies_outside(api: Api, wish: Any, word: str) -> None:
    await api.post("/studies", external(**BARE))
    body = await api.refused(422, "invalid-input", "POST", "/studies/loop/trials", json=wish)
    assert word in body["detail"]


async def test_enqueue_knows_conditions(api: Api) -> None:
    space = {
        "optimizer": {"values": ["adam", "sgd"]},
        "momentum": {"min": 0.0, "max": 1.0, "when": {"optimizer": "sgd"}},
    }
    await api.post("/studies", external(space=space, budget={"trials": 9}))
    await api.post("/studies/loop/trials", {"params": {"optimizer": "sgd", "momentum": 0.25}})
    number = (await api.get("/studies/loop/trials"))["items"][-1]["number"]
    like = await api.post("/studies/loop/trials", {"like": number, "params": {"optimizer": "adam"}})
    assert like["params"] == {"optimizer": "adam"}
    wrong = {"params": {"optimizer": "adam", "momentum": 0.25}}
    await api.refused(422, "invalid-input", "POST", "/studies/loop/trials", json=wrong)


async def test_enqueue_keeps_to_the_budget(api: Api) -> None:
    await api.post("/studies", external(**BARE, budget={"trials": 1}))
    await api.post("/studies/loop/trials", {})
    body = await api.refused(409, "study-state", "POST", "/studies/loop/trials", json={})
    assert "extend" in body["detail"]
    await api.post("/studies/loop/extend", {"trials": 1})
    await api.refused(404, "not-found", "POST", "/studies/loop/trials", json={"like": 5})


async def test_enqueue_from_a_checkpoint_goes_on_with_its_curve(settings: Settings) -> None:
    async with running(settings) as api:
        halving = {"name": "halve_on_plateau", "patience": 0, "threshold": 0.0}
        study = await api.post(
            "/studies", external(policies=[halving], budget={"trials": 9, "steps": 50})
        )
        await train(api, "loop", [0.5, 0.5, 0.5])
        number = (await api.get("/studies/loop/trials", outcome="complete"))["items"][0]["number"]
        wish = {"like": number, "from_checkpoint": True}
        await api.refused(409, "conflict", "POST", "/studies/loop/trials", json=wish)
        lease = await train(api, "loop", [0.5, 0.5, 0.5], finish=False)
        await _store_checkpoint(api, settings, study["id"], lease, step=2)
        wish["like"] = lease["number"]
        made = await api.post("/studies/loop/trials", wish)
        assert (made["last_step"], made["lr_factor"]) == (2, 0.5)
    async with running(settings) as api:
        again = await api.get(f"/studies/loop/trials/{made['number']}")
        assert (again["last_step"], again["lr_factor"]) == (2, 0.5)
        lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
        assert lease["number"] == made["number"]
        assert (lease["resume"]["step"], lease["lr_factor"]) == (2, 0.5)
        (settings.artifact_dir / "checkpoints" / "x").unlink()
        response = await api.http.get(f"{API}/leases/{lease['lease']}/checkpoint")
        assert response.content == b"weights"


async def _store_checkpoint(
    api: Api, settings: Settings, study_id: int, lease: dict[str, Any], step: int
) -> None:
    path = Path("checkpoints") / "x"
    (settings.artifact_dir / path).parent.mkdir(parents=True, exist_ok=True)
    (settings.artifact_dir / path).write_bytes(b"weights")
    services = api.services

    def command(tx: Any) -> None:
        trial = tx.trial(study_id, lease["number"])
        point = Checkpoint(trial.attempt, step, "0" * 64, 7, str(path))
        tx.add_checkpoint(trial, point, services.clock())
        tx.put_trial(trial.evolve(checkpoint=point))

    await services.ledger.write(command)
