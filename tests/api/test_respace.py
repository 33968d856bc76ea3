"""A live study's space is narrowed or widened; earlier trials keep theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import optuna
import pytest

from api.settings import Settings
from storage.check import check
from tests.api.conftest import Api, external, running, train
from tests.api.in_process import API
from tuner.spec import StudySpec
from tuner.wire import StudyPatch

pytestmark = pytest.mark.anyio
SPACE: dict[str, Any] = {
    "lr": {"min": 0.001, "max": 1.0, "log": True},
    "width": {"values": [8, 16, 32]},
}
NARROW: dict[str, Any] = {
    "lr": {"min": 0.01, "max": 0.1, "log": True},
    "width": {"values": [16, 32]},
}
SAMPLERS = ("random", "tpe", "qmc", "cmaes", "gp")


async def submit(api: Api, sampler: str = "random", **changes: Any) -> None:
    startup = {"startup": 2} if sampler in {"tpe", "gp"} else {}
    chosen = {"name": sampler, "seed": 1, **startup}
    budget = {"trials": 30, "steps": 5}
    await api.post("/studies", external(space=SPACE, sampler=chosen, budget=budget) | changes)


async def trials(api: Api, **query: Any) -> list[dict[str, Any]]:
    return list((await api.get("/studies/loop/trials", **query))["items"])


def inside(params: dict[str, Any]) -> bool:
    return 0.01 <= params["lr"] <= 0.1 and params["width"] in (16, 32)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("objective", {"metric": "accuracy"}, "a live study's objective can't be changed; clone"),
        ("run", "external", "a live study's run can't be changed; clone"),
        ("sampler", {"name": "tpe"}, "a live study's sampler can't be changed; clone"),
        ("budget", {"trials": 99}, "extending"),
        ("queue", {"priority": 3}, "give `priority`"),
        # No key of the document: the nearest known one.
        ("spcae", {}, "did you mean 'space'"),
    ],
)
async def test_what_a_live_study_keeps_is_said_so(
    api: Api, key: str, value: object, why: str
) -> None:
    await submit(api)
    body = {"priority": 3, key: value}
    said = await api.refused(422, "invalid-input", "PATCH", "/studies/loop", json=body)
    (fault,) = said["faults"]
    assert fault["where"] == key
    assert why in fault["message"]
    assert (await api.get("/studies/loop"))["spec"]["queue"]["priority"] == 0


def test_each_key_of_the_document_is_told_apart() -> None:
    own = {*StudyPatch.model_fields, "api_version"}
    assert set(StudySpec.model_fields) - own == set(StudyPatch.REFUSALS)


@pytest.mark.parametrize("sampler", SAMPLERS)
async def test_the_sampler_goes_on_in_the_new_space(settings: Settings, sampler: str) -> None:
    async with running(settings) as api:
        await submit(api, sampler)
        for number in range(8):
            await train(api, "loop", [0.1 * number])
        before = await trials(api)
        assert not all(inside(t["params"]) for t in before)
        view = await api.patch("/studies/loop", {"space": NARROW})
        assert view["spec"]["space"]["width"]["values"] == [16, 32]
        for number in range(4):
            await train(api, "loop", [0.2 * number])
        assert (await trials(api, limit=1000))[: len(before)] == before
    async with running(settings) as api:
        for number in range(3):
            await train(api, "loop", [0.1 * number])
        sampled = [t for t in await trials(api) if t["origin"] == "sampled"]
        assert len(sampled) >= 7
        assert all(inside(t["params"]) for t in (await trials(api))[len(before) :])
        await api.patch("/studies/loop", {"space": {"lr": {"min": 1e-4, "max": 2.0, "log": True}}})
        await train(api, "loop", [0.5])
    _optuna_reads_each_with_its_own(settings.db_url)
    assert check(settings.db_url) == []


def _optuna_reads_each_with_its_own(url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    try:
        found = optuna.load_study(study_name="loop", storage=storage).trials
    finally:
        storage.remove_session()
        storage.engine.dispose()
    for trial in found:
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            assert distribution._contains(distribution.to_internal_repr(value))
    widths = {
        d.choices
        for t in found
        if isinstance(d := t.distributions["width"], optuna.distributions.CategoricalDistribution)
    }
    assert widths == {(8, 16, 32), (16, 32)}


async def test_waiting_trials_that_no_longer_fit_are_cancelled(api: Api) -> None:
    await submit(api)
    await api.post("/studies/loop/trials", {"params": {"lr": 0.05, "width": 16}})
    await api.post("/studies/loop/trials", {"params": {"lr": 0.9, "width": 16}})
    waiting = {t["number"]: t["params"] for t in await trials(api, state="waiting")}
    view = await api.patch("/studies/loop", {"space": NARROW})
    cancelled = await trials(api, outcome="cancelled")
    assert {t["number"] for t in cancelled} == {n for n, p in waiting.items() if not inside(p)}
    assert all("changed space" in t["reason"] for t in cancelled)
    events = (await api.get("/studies/loop/events"))["items"]
    (event,) = (e for e in events if e["kind"] == "changed")
    assert event["data"]["space"]["width"][1]["values"] == [16, 32]
    assert event["data"]["cancelled"] == [t["number"] for t in cancelled]
    assert view["counts"]["cancelled"] == len(cancelled) > 0


async def test_a_running_trial_goes_on_and_may_come_again(api: Api) -> None:
    await submit(api)
    await api.post("/studies/loop/trials", {"params": {"lr": 0.9, "width": 8}})
    lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    while lease["params"] != {"lr": 0.9, "width": 8}:
        lease = (await api.post("/studies/loop/ask", {}))["leases"][0]
    await api.patch("/studies/loop", {"space": NARROW})
    held = {"attempt": lease["attempt"], "reason": "preempted"}
    await api.post(f"/leases/{lease['lease']}/release", held)
    await api.patch("/studies/loop", {"space": {"lr": {"min": 0.02, "max": 0.1, "log": True}}})
    again = (await api.post("/studies/loop/ask", {}))["leases"][0]
    assert (again["number"], again["attempt"]) == (lease["number"], 2)


async def test_a_trial_made_in_the_same_commit_keeps_its_space(api: Api) -> None:
    await submit(api)
    params = {"params": {"lr": 0.9, "width": 8}}
    made = [api.post("/studies/loop/trials", params) for _ in range(4)]
    await asyncio.gather(*made[:2], api.patch("/studies/loop", {"space": NARROW}), *made[2:],
                         return_exceptions=True)  # fmt: skip
    assert check(api.services.settings.db_url) == []
    assert all(inside(t["params"]) for t in await trials(api, state="waiting"))


async def test_versions_are_kept(api: Api) -> None:
    await submit(api)
    first = (await api.get("/studies/loop/specs"))["items"]
    assert [v["version"] for v in first] == [1]
    await api.patch("/studies/loop", {"space": NARROW})
    await api.patch("/studies/loop", {"space": NARROW})
    await api.patch("/studies/loop", {"priority": 3})
    await api.patch("/studies/loop", {"space": {"width": {"values": [8, 64]}}})
    page = await api.get("/studies/loop/specs", limit=2)
    rest = await api.get("/studies/loop/specs", limit=2, cursor=page["next_cursor"])
    found = page["items"] + rest["items"]
    widths = [v["spec"]["space"]["width"]["values"] for v in found]
    assert widths == [[8, 16, 32], [16, 32], [8, 64]]
    assert [v["version"] for v in found] == [1, 2, 3]
    assert found[0]["by"] == found[2]["by"] == "admin"
    await api.patch("/studies/loop", {"state": "cancelled"})
    assert (await api.http.delete(f"{API}/studies/loop")).status_code == 200


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"space": {"depth": {"min": 1, "max": 3}}}, "space.depth"),
        ({"space": {"width": None}}, "space.width"),
        ({"space": {"width": {"min": 8, "max": 16}}}, "space.width"),
        ({"space": {"width": {"values": ["a"]}}}, "space.width"),
        ({"space": {"width": {"values": [8, 8.0]}}}, "space.width"),
        ({"space": {"lr": {"min": 0.01, "max": 0.1}}}, "space.lr"),
        ({"space": {"lr": {"min": 1, "max": 2, "log": True}}}, "space.lr"),
        ({"space": {"lr": {"min": -1.0, "max": 0.1, "log": True}}}, "space.lr"),
        ({"space": {"lr": {"min": 0.5, "max": 0.1, "log": True}}}, "space.lr"),
        ({"space": {"lr": {"mim": 0.5}}}, "space.lr.mim"),
        ({"space": {"lr": 7}}, "space.lr"),
        ({"space": {"lr": {"min": 0.1, "max": 0.2, "log": True, "when": {"width": 8}}}},
         "space.lr"),
        ({"objective": {"metric": "accuracy"}}, "objective"),
        ({"run": {"task": "digits-mlp"}}, "run"),
        ({"sampler": {"name": "tpe"}}, "sampler"),
    ],
)  # fmt: skip
async def test_what_can_not_change_is_named(api: Api, change: dict[str, Any], where: str) -> None:
    await submit(api)
    before = await api.get("/studies/loop")
    body = await api.refused(422, "invalid-input", "PATCH", "/studies/loop", json=change)
    assert where in [fault["where"] for fault in body["faults"]], body
    assert (await api.get("/studies/loop"))["spec"] == before["spec"]


async def test_constraints_that_leave_nothing_refuse_the_change(api: Api) -> None:
    await submit(api, constraints=["lr >= 0.5"])
    await api.refused(422, "invalid-input", "PATCH", "/studies/loop", json={"space": NARROW})


async def test_a_study_that_is_over_keeps_its_space(api: Api) -> None:
    await submit(api)
    ending = {"space": NARROW, "state": "cancelled"}
    await api.refused(422, "invalid-input", "PATCH", "/studies/loop", json=ending)
    await api.patch("/studies/loop", {"state": "cancelled"})
    await api.refused(409, "study-state", "PATCH", "/studies/loop", json={"space": NARROW})


async def test_of_two_who_change_the_space_one_is_told(api: Api) -> None:
    await submit(api)
    version = {"If-Match": (await api.http.get(f"{API}/studies/loop")).headers["etag"]}
    both = [
        api.http.patch(
            f"{API}/studies/loop", json={"space": {"width": {"values": w}}}, headers=version
        )
        for w in ([8], [16])
    ]
    assert sorted(r.status_code for r in await asyncio.gather(*both)) == [200, 412]
