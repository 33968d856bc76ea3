"""A study that plain Optuna ran, sent to the server: its document, its trials, and what follows."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import FloatDistribution, distribution_to_json

from tests.api.conftest import Api, external, train
from tuner.trial import trial_seed

pytestmark = pytest.mark.anyio

LR = distribution_to_json(FloatDistribution(0.001, 1.0, log=True))
SPACE = {"lr": {"min": 0.001, "max": 1.0, "log": True}}
AT = "2026-03-01T12:30:15.123456Z"


def document(**changes: Any) -> dict[str, Any]:
    return external(space=SPACE, budget={"trials": 100, "max_failures": 10}) | changes


def trial(lr: float, loss: float, **changes: Any) -> dict[str, Any]:
    return {
        "state": "complete",
        "value": loss,
        "params": {"lr": lr},
        "distributions": {"lr": 0},
        "steps": [1, 2],
        "values": [loss + 1, loss],
        "started_at": AT,
        "ended_at": AT,
    } | changes


def batch(*trials: dict[str, Any], first: int = 0, last: bool = True) -> dict[str, Any]:
    return {"first": first, "distributions": [LR], "trials": list(trials), "last": last}


async def begin(api: Api, **changes: Any) -> Any:
    return await api.post("/studies/import", {"document": document(**changes), "source": "there"})


async def test_a_study_is_taken_over_in_parts_and_goes_on(api: Api) -> None:
    begun = await begin(api)
    assert (begun["name"], begun["trials"], begun["open"]) == ("loop", 0, False)
    assert (await api.get("/studies/loop"))["state"] == "paused"
    part = batch(trial(0.1, 0.5), last=False)
    assert (await api.post("/studies/loop/import", part))["trials"] == 1
    rest = batch(trial(0.2, 0.25), trial(0.3, 2.0, state="pruned"), first=1)
    assert (await api.post("/studies/loop/import", rest))["open"] is True
    view = await api.get("/studies/loop")
    assert (view["state"], view["adopted"]) == ("queued", 3)
    assert view["best"]["number"] == 1
    assert (await api.get("/studies/loop/best"))["step"] == 2
    lease = await train(api, "loop", [0.125])
    assert lease["number"] == 3
    assert lease["seed"] == trial_seed(1, 3)
    assert (await api.get("/studies/loop"))["best"]["value"] == 0.125


async def test_the_sampler_learns_from_adopted_trials(api: Api) -> None:
    """TPE proposes where the good ones lie, far from the forty bad ones."""
    tpe = {"name": "tpe", "seed": 1}
    await begin(api, sampler=tpe)
    good = [trial(0.1 + i / 1000, 0.01 * i) for i in range(10)]
    bad = [trial(0.002 * (i + 1), 5.0 + i) for i in range(40)]
    await api.post("/studies/loop/import", batch(*good, *bad))
    found = [
        (await api.post("/studies/loop/ask", {"wait_s": 30}))["leases"][0]["params"]["lr"]
        for _ in range(5)
    ]
    assert all(lr > 0.08 for lr in found), found


async def test_the_pruner_learns_from_adopted_trials(api: Api) -> None:
    await begin(api, pruner={"name": "median", "startup": 3})
    trials = [trial(0.1, 0.1 * i) for i in range(5)]
    await api.post("/studies/loop/import", batch(*trials))
    lease = await train(api, "loop", [9.0])
    ended = await api.get(f"/studies/loop/trials/{lease['number']}")
    assert (ended["outcome"], ended["reason"]) == (
        "pruned",
        "step 1: 9, rank 6 of 6, cut-off 1.2",
    )


async def test_a_waiting_trial_comes_next(api: Api) -> None:
    await begin(api)
    wish = {"state": "waiting", "params": {"lr": 0.5}}
    await api.post("/studies/loop/import", batch(trial(0.1, 0.5), wish))
    lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    assert (lease["number"], lease["params"]) == (1, {"lr": 0.5})


async def test_a_used_up_budget_ends_the_study_and_extending_opens_it(api: Api) -> None:
    await begin(api, budget={"trials": 1})
    await api.post("/studies/loop/import", batch(trial(0.1, 0.5)))
    assert (await api.get("/studies/loop"))["state"] == "finished"
    await api.post("/studies/loop/extend", {"trials": 1})
    await train(api, "loop", [0.25])
    assert (await api.get("/studies/loop"))["best"]["number"] == 1


async def test_a_dry_run_stores_nothing(api: Api) -> None:
    body = {"document": document()}
    found = await api.post("/studies/import?dry_run=true", body)
    assert found["spec"]["run"] == "external"
    assert (await api.get("/studies"))["items"] == []


async def test_beginning_again_goes_on_only_with_the_same_document(api: Api) -> None:
    first = await begin(api)
    await api.post("/studies/loop/import", batch(trial(0.1, 0.5), last=False))
    again = await begin(api)
    assert (again["id"], again["trials"]) == (first["id"], 1)
    other = {"document": document(sampler={"name": "random", "seed": 7})}
    await api.refused(409, "duplicate-name", "POST", "/studies/import", json=other)
    await api.post("/studies/loop/import", batch(first=1))
    same = {"document": document()}
    await api.refused(409, "duplicate-name", "POST", "/studies/import", json=same)


async def test_the_same_key_stores_a_batch_once(api: Api) -> None:
    await begin(api)
    part, key = batch(trial(0.1, 0.5), last=False), {"Idempotency-Key": "k"}
    first = await api.post("/studies/loop/import", part, **key)
    assert await api.post("/studies/loop/import", part, **key) == first
    assert len((await api.get("/studies/loop/trials"))["items"]) == 1


async def test_batches_out_of_order_are_refused(api: Api) -> None:
    await begin(api)
    late = batch(trial(0.1, 0.5), first=1)
    body = await api.refused(409, "conflict", "POST", "/studies/loop/import", json=late)
    assert "has 0 trials" in body["detail"]


async def test_only_a_paused_study_that_never_started_takes_trials(api: Api) -> None:
    await api.post("/studies", document())
    more = batch(trial(0.1, 0.5), first=3)
    await api.refused(409, "study-state", "POST", "/studies/loop/import", json=more)
    await train(api, "loop", [0.5])
    await api.patch("/studies/loop", {"state": "paused"})
    await api.refused(409, "study-state", "POST", "/studies/loop/import", json=more)
    await api.refused(404, "not-found", "POST", "/studies/none/import", json=more)


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"params": {"lr": 5.0}}, "trials.0.params.lr", "outside the study's range"),
        ({"params": {"lr": "a"}}, "trials.0.params.lr", "no value of its distribution"),
        ({"params": {"x": 1.0}, "distributions": {"x": 0}}, "trials.0.params.x", "not a parameter"),
        ({"distributions": {"lr": 3}}, "trials.0.params.lr", "that the request does not have"),
        ({"distributions": {}}, "trials.0", "each parameter has a distribution"),
        ({"value": None}, "trials.0", "a complete trial has a value"),
        ({"value": "nan"}, "trials.0", "a complete trial has a value"),
        ({"ended_at": None}, "trials.0", "a finished trial has an end"),
        ({"steps": [2, 1]}, "trials.0", "ascending"),
        ({"steps": [1]}, "trials.0", "one length"),
        ({"started_at": "2026-03-01T12:30:15"}, "trials.0.started_at", "timezone"),
        ({"steps": [1, 2**31]}, "trials.0.steps.1", "should be below 2147483648"),
    ],
)
async def test_what_is_wrong_with_a_trial_is_said(
    api: Api, change: dict[str, Any], where: str, message: str
) -> None:
    await begin(api)
    bad = batch(trial(0.1, 0.5, **change))
    body = await api.refused(422, "invalid-input", "POST", "/studies/loop/import", json=bad)
    assert (body["faults"][0]["where"]) == where
    assert message in body["faults"][0]["message"]
    assert (await api.get("/studies/loop/trials"))["items"] == []


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "null", "hello", '{"name": "X", "attributes": {}}', "[" * 100_000,
     '{"name": "FloatDistribution", "attributes": {"low": 2, "high": 1}}',
     '{"name": "UniformDistribution", "attributes": {"low": 0, "high": 1}}',
     '{"name": "CategoricalDistribution", "attributes": {"choices": []}}'],
)  # fmt: skip
async def test_a_distribution_that_is_none_is_refused(api: Api, text: str) -> None:
    await begin(api)
    bad = batch(trial(0.1, 0.5)) | {"distributions": [text]}
    body = await api.refused(422, "invalid-input", "POST", "/studies/loop/import", json=bad)
    assert "distributions.0" in body["detail"]


async def test_infinite_values_and_curves_are_kept_as_what_they_are(api: Api) -> None:
    await begin(api)
    odd = trial(0.1, 0.5, value="inf", values=["nan", "-inf"])
    await api.post("/studies/loop/import", batch(odd))
    shown = await api.get("/studies/loop/trials/0")
    assert (shown["outcome"], shown["reason"]) == ("diverged", "its value was inf")
    assert [r["status"] for r in shown["reports"]] == ["nan", "-inf"]


async def test_failures_before_count_as_the_document_says(api: Api) -> None:
    await begin(api, budget={"trials": 50, "max_failures": 2})
    failed = [trial(0.1, 0.5, state="fail", value=None) for _ in range(2)]
    await api.post("/studies/loop/import", batch(*failed))
    view = await api.get("/studies/loop")
    assert (view["state"], view["ended_why"]) == ("finished", "failures")
