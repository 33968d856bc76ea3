"""Studies: submitting, listing, changing, extending, cloning, enqueueing."""

from __future__ import annotations

from typing import Any

import pytest

from api.settings import Settings
from tests.api.conftest import Api, external, running, train
from tests.api.in_process import API

pytestmark = pytest.mark.anyio

DIGITS = {
    "objective": {"metric": "val_loss"},
    "run": {"task": "digits-mlp"},
    "budget": {"trials": 8},
}
DIGITS_YAML = """
objective: {metric: val_loss, mode: min}
run: {task: digits-mlp}
space: {lr: {min: 1e-4, max: 1, log: true}}
"""


async def kinds(api: Api, study: int) -> list[str]:
    events = (await api.get(f"/studies/{study}/events"))["items"]
    return [e["kind"] for e in events]


async def test_submit_fills_in_the_document(api: Api) -> None:
    study = await api.post("/studies", DIGITS)
    assert study["state"] == "queued"
    assert study["name"] == "digits-mlp-1"
    assert study["spec"]["pruner"]["name"] == "asha"
    assert study["spec"]["name"] == "digits-mlp-1"
    assert study["note"] == "no worker is connected"
    again = await api.get("/studies/digits-mlp-1")
    assert again["id"] == study["id"]


async def test_first_trials_are_rules_of_thumb_within_half_the_budget(api: Api) -> None:
    study = await api.post("/studies", DIGITS)
    trials = (await api.get(f"/studies/{study['id']}/trials"))["items"]
    assert len(trials) == 4
    assert {t["origin"] for t in trials} == {"folk"}
    assert study["counts"]["waiting"] == 4
    one = await api.post("/studies", DIGITS | {"budget": {"trials": 1}})
    assert one["counts"]["waiting"] == 1
    events = (await api.get(f"/studies/{study['id']}/events"))["items"]
    assert events[0]["kind"] == "submitted"
    assert events[0]["data"]["rules_of_thumb"] == 4


async def test_names_are_derived_and_unique(api: Api) -> None:
    names = [(await api.post("/studies", DIGITS))["name"] for _ in range(3)]
    assert names == ["digits-mlp-1", "digits-mlp-2", "digits-mlp-3"]
    entry = external(None, run={"entrypoint": "pkg.train:main"})
    assert (await api.post("/studies", entry))["name"] == "pkg.train.main-1"
    first = await api.post("/studies", external("mine"))
    body = await api.refused(409, "duplicate-name", "POST", "/studies", json=external("mine"))
    assert body["extra"]["study_id"] == first["id"]


@pytest.mark.parametrize("media", ["application/yaml", "application/x-yaml", "text/yaml"])
async def test_yaml_is_read_as_yaml_1_2(api: Api, media: str) -> None:
    response = await api.http.post(
        f"{API}/studies", content=DIGITS_YAML, headers={"Content-Type": media}
    )
    assert response.status_code == 201, response.text
    assert response.json()["spec"]["space"]["lr"]["min"] == 1e-4


async def test_dry_run_stores_nothing(api: Api) -> None:
    response = await api.http.post(f"{API}/studies?dry_run=true", json=external())
    assert response.status_code == 200
    assert response.json()["spec"]["retry"] == {"max": 3}
    assert (await api.get("/studies"))["items"] == []
    await api.post("/studies", external())
    await api.refused(409, "duplicate-name", "POST", "/studies?dry_run=true", json=external())


async def test_warnings_come_with_the_submission(api: Api) -> None:
    odd = external(objective={"metric": "reward"}, policies=[{"name": "halve_on_plateau"}])
    assert any("threshold" in w for w in (await api.post("/studies", odd))["warnings"])


async def test_a_study_that_can_never_be_searched_is_refused(api: Api) -> None:
    impossible = external(constraints=["lr > 2"])
    await api.refused(422, "invalid-input", "POST", "/studies", json=impossible)


async def test_list_is_filtered_and_paged(api: Api) -> None:
    for i in range(5):
        queue = {"project": "even" if i % 2 == 0 else "odd"}
        await api.post("/studies", external(f"s{i}", queue=queue))
    await api.patch("/studies/s0", {"state": "paused"})
    first = await api.get("/studies", limit=2)
    assert [s["name"] for s in first["items"]] == ["s4", "s3"]
    second = await api.get("/studies", limit=2, cursor=first["next_cursor"])
    assert [s["name"] for s in second["items"]] == ["s2", "s1"]
    last = await api.get("/studies", limit=2, cursor=second["next_cursor"])
    assert [s["name"] for s in last["items"]] == ["s0"]
    assert last["next_cursor"] is None
    even = await api.get("/studies", project="even")
    assert [s["name"] for s in even["items"]] == ["s4", "s2", "s0"]
    paused = await api.get("/studies", state="paused")
    assert [s["name"] for s in paused["items"]] == ["s0"]


@pytest.mark.parametrize("ref", ["7", "nobody", "9" * 30, "٣", "%00"])
async def test_unknown_studies_are_not_found(api: Api, ref: str) -> None:
    await api.refused(404, "not-found", "GET", f"/studies/{ref}")


async def test_pause_resume_and_priorities(api: Api) -> None:
    study = await api.post("/studies", external())
    paused = await api.patch("/studies/loop", {"state": "paused", "priority": 7, "parallel": 2})
    assert (paused["state"], paused["note"]) == ("paused", "paused")
    assert paused["spec"]["queue"]["priority"] == 7
    assert paused["spec"]["budget"]["parallel"] == 2
    assert (await api.post("/studies/loop/ask", {}))["leases"] == []
    resumed = await api.patch("/studies/loop", {"state": "running"})
    assert resumed["state"] == "queued"
    assert (await api.post("/studies/loop/ask", {}))["leases"]
    assert (await api.get("/studies/loop"))["state"] == "running"
    found = await kinds(api, study["id"])
    assert [k for k in found if k in ("changed", "paused", "resumed")] == [
        "changed",
        "paused",
        "resumed",
    ]


async def test_pausing_twice_is_pausing_once(api: Api) -> None:
    study = await api.post("/studies", external())
    for _ in range(2):
        assert (await api.patch("/studies/loop", {"state": "paused"}))["state"] == "paused"
    assert (await kinds(api, study["id"])).count("paused") == 1


async def test_stop_lets_running_trials_end(api: Api) -> None:
    await api.post("/studies", external())
    lease = await train(api, "loop", [0.5], finish=False)
    stopping = await api.patch("/studies/loop", {"state": "stopped"})
    assert (stopping["state"], stopping["stopping"]) == ("running", "stopped")
    await api.refused(409, "study-state", "POST", "/studies/loop/trials", json={})
    await api.post(f"/leases/{lease['lease']}/finish", {"attempt": 1})
    over = await api.get("/studies/loop")
    assert (over["state"], over["ended_why"]) == ("finished", "stopped")
    assert (await api.patch("/studies/loop", {"state": "stopped"}))["state"] == "finished"
    await api.refused(409, "study-state", "PATCH", "/studies/loop", json={"state": "paused"})


async def test_cancel_ends_running_trials(api: Api) -> None:
    await api.post("/studies", external())
    lease = await train(api, "loop", [0.5], finish=False)
    cancelled = await api.patch("/studies/loop", {"state": "cancelled"})
    assert cancelled["state"] == "cancelled"
    assert cancelled["counts"]["running"] == 0
    assert (await api.patch("/studies/loop", {"state": "cancelled"}))["state"] == "cancelled"
    beat = {"leases": [{"lease": lease["lease"], "attempt": 1}]}
    (result,) = (await api.post("/heartbeats", beat))["results"]
    assert result["decision"] is None or result["decision"]["action"] == "stop"
    await api.refused(409, "study-state", "POST", "/studies/loop/extend", json={"trials": 1})


async def test_extending_a_finished_study_lets_it_go_on(api: Api) -> None:
    study = await api.post(
        "/studies",
        external(space={"depth": {"min": 1, "max": 9}}, budget={"trials": 1, "steps": 2}),
    )
    await train(api, "loop", [0.5, 0.4])
    assert (await api.get("/studies/loop"))["ended_why"] == "budget"
    await api.refused(422, "invalid-input", "POST", "/studies/loop/extend", json={})
    extended = await api.post("/studies/loop/extend", {"trials": 2})
    assert (extended["state"], extended["ended_why"], extended["ended_at"]) == (
        "running",
        None,
        None,
    )
    assert extended["spec"]["budget"]["trials"] == 3
    await train(api, "loop", [0.3, 0.2])
    assert (await api.get("/studies/loop"))["counts"]["complete"] == 2
    assert "extended" in await kinds(api, study["id"])


async def test_extending_a_stopped_study_adds_to_what_it_tried(api: Api) -> None:
    await api.post("/studies", external(budget={"trials": 200, "steps": 2}))
    tried = len((await api.get("/studies/loop/trials"))["items"])
    await api.patch("/studies/loop", {"state": "stopped"})
    extended = await api.post("/studies/loop/extend", {"trials": 3})
    assert extended["spec"]["budget"]["trials"] == tried + 3


async def test_extend_has_a_limit(api: Api) -> None:
    await api.post("/studies", external())
    more = {"trials": 1_000_000}
    await api.refused(422, "invalid-input", "POST", "/studies/loop/extend", json=more)


async def test_clone_merges_changes(api: Api) -> None:
    await api.post("/studies", external(pruner={"name": "asha"}, budget={"trials": 4, "steps": 30}))
    changes: dict[str, Any] = {
        "budget": {"steps": 60},
        "space": {"lr": {"value": 0.1}},
        "sampler": {"seed": None},
    }
    clone = await api.post("/studies/loop/clone", {"name": "second", "changes": changes})
    spec = clone["spec"]
    assert clone["name"] == "second"
    assert spec["budget"] == {"trials": 4, "steps": 60, "max_failures": 5}
    assert spec["space"]["lr"]["value"] == 0.1
    assert spec["space"]["width"]["values"] == [8, 16]
    assert spec["sampler"]["seed"] == 0
    assert (spec["pruner"]["min"], spec["pruner"]["max"]) == (6, 60)
    third = await api.post("/studies/loop/clone", {"changes": {"pruner": {"name": "median"}}})
    assert third["name"] == "loop-1"
    assert third["spec"]["pruner"]["name"] == "median"
    wrong = {"changes": {"budget": {"trails": 3}}}
    body = await api.refused(422, "invalid-input", "POST", "/studies/loop/clone", json=wrong)
    assert "trials" in body["detail"]


async def test_everything_is_there_after_a_restart(settings: Settings) -> None:
    async with running(settings) as api:
        await api.post("/studies", external())
        await train(api, "loop", [0.5, 0.25, 0.375])
        await api.post("/studies/loop/trials", {"params": {"lr": 0.5}})
        before = await api.get("/studies/loop")
    async with running(settings) as api:
        assert await api.get("/studies/loop") == before
        assert before["best"]["value"] == 0.25


async def test_best_has_value_step_schedule_and_metrics(api: Api) -> None:
    halving = {"name": "halve_on_plateau", "factor": 0.5, "patience": 0, "threshold": 0.0}
    await api.post("/studies", external(policies=[halving], budget={"trials": 10, "steps": 50}))
    await api.refused(404, "not-found", "GET", "/studies/loop/best")
    await train(api, "loop", [0.5, 0.25, 0.25, 0.25, 0.5])
    await train(api, "loop", [0.75])
    best = await api.get("/studies/loop/best")
    assert (best["value"], best["step"]) == (0.25, 2)
    assert best["metrics"] == {"accuracy": 0.75}
    assert best["schedule"] == [
        {"step": 0, "lr_factor": 1.0},
        {"step": 3, "lr_factor": 0.5},
        {"step": 4, "lr_factor": 0.25},
    ]
    study = await api.get("/studies/loop")
    assert study["best"] == best
    assert study["halvings"] == 3
    assert study["steps_done"] == 6


async def test_with_finalists_the_best_is_chosen_by_their_mean(api: Api) -> None:
    space = {"depth": {"min": 1, "max": 99}}
    repeats = {"finalists": 2, "seeds": 2}
    budget = {"trials": 2, "steps": 9}
    await api.post("/studies", external(space=space, budget=budget, repeats=repeats))
    for value in (0.25, 0.5):
        await train(api, "loop", [value])
    assert (await api.get("/studies/loop/best"))["number"] == 0
    lucky = (await api.get("/studies/loop/trials/0"))["params"]
    for _ in range(4):
        trial = (await api.get("/studies/loop/trials", state="waiting"))["items"][0]
        await train(api, "loop", [0.875 if trial["params"] == lucky else 0.5])
    study = await api.get("/studies/loop")
    assert study["state"] == "finished"
    best = study["best"]
    assert (best["number"], best["mean"], best["std"], best["seeds"]) == (1, 0.5, 0.0, 2)


async def test_steps_saved_count_what_policies_cut_off(api: Api) -> None:
    await api.post("/studies", external(policies=[{"name": "divergence"}]))
    await train(api, "loop", [0.5, 1e9])
    study = await api.get("/studies/loop")
    assert study["counts"]["diverged"] == 1
    assert study["steps_saved"] == 3
    assert study["best"] is None


async def test_the_note_names_what_is_missing(api: Api) -> None:
    entry = external(
        "entry", run={"entrypoint": "pkg.train:main"}, queue={"labels": {"gpu": "a100"}}
    )
    await api.post("/studies", entry)
    worker = {"name": "w", "host": "h", "slots": 1, "tasks": ["digits-mlp"]}
    await api.post("/workers", worker)
    assert (await api.get("/studies/entry"))["note"] == "no worker allows pkg.train:main"
    await api.post("/workers", worker | {"allow": ["pkg.*:*"]})
    assert "gpu=a100" in (await api.get("/studies/entry"))["note"]
    await api.post("/workers", worker | {"allow": ["pkg.*:*"], "labels": {"gpu": "a100"}})
    assert (await api.get("/studies/entry"))["note"] == ""
