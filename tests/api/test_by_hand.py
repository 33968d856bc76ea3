"""Trials stopped and slowed by hand; notes, tags, pins; saved views."""

from __future__ import annotations

from typing import Any

import pytest

from api.settings import Settings
from tests.api.conftest import Api, external, problem, running, train
from tests.api.in_process import API

pytestmark = pytest.mark.anyio
HALVING = [{"name": "halve_on_plateau", "factor": 0.5, "patience": 1}]
TRIAL = "/studies/loop/trials/0"


class Held:
    """A leased trial that reports at the level it was told last."""

    def __init__(self, api: Api, lease: dict[str, Any]) -> None:
        self.api = api
        self.lease = lease
        self.level = lease["lr_factor"]

    async def report(self, step: int, value: float) -> dict[str, Any]:
        """Report and take the decision."""
        held = {"lease": self.lease["lease"], "attempt": self.lease["attempt"]}
        report = held | {"step": step, "value": value, "lr_factor": self.level}
        (result,) = (await self.api.post("/reports", {"reports": [report]}))["results"]
        assert result["decision"] is not None, result
        self.level = result["decision"]["lr_factor"]
        return dict(result["decision"])

    async def release(self) -> None:
        """Give the trial back."""
        path = f"/leases/{self.lease['lease']}/release"
        await self.api.post(path, {"attempt": self.lease["attempt"]})


async def leased(api: Api) -> Held:
    return Held(api, (await api.post("/studies/loop/ask", {}))["leases"][0])


async def events(api: Api, kind: str) -> list[dict[str, Any]]:
    page = await api.get("/studies/loop/events", limit=1000)
    return [e for e in page["items"] if e["kind"] == kind]


async def test_a_running_trial_is_told_to_stop_by_its_next_report(api: Api) -> None:
    await api.post("/studies", external())
    trial = await leased(api)
    await trial.report(1, 0.5)
    view = await api.post(f"{TRIAL}/stop", {"why": "it learns nothing"})
    assert (view["state"], view["outcome"], view["value"]) == ("ended", "cancelled", None)
    assert view["reason"] == "stopped by hand by admin: it learns nothing"
    decision = await trial.report(2, 0.4)
    assert (decision["action"], decision["outcome"]) == ("stop", "cancelled")
    after = await api.post(f"/leases/{trial.lease['lease']}/finish", {"attempt": 1})
    assert after["outcome"] == "cancelled"
    (ended,) = await events(api, "ended")
    assert {"rule": "by hand", "by": "admin", "outcome": "cancelled"}.items() <= (
        ended["data"].items()
    )
    log = (await api.get("/audit"))["items"]
    assert [e["action"] for e in log] == ["stop-trial", "submit"]
    again = await api.post(f"{TRIAL}/stop", {})
    assert again["reason"] == view["reason"]


async def test_a_waiting_trial_is_ended_and_an_ended_one_stays(api: Api) -> None:
    await api.post("/studies", external())
    view = await api.post(f"{TRIAL}/stop", {})
    assert (view["outcome"], view["attempt"]) == ("cancelled", 0)
    ended = (await train(api, "loop", [0.5]))["number"]
    for what in ("stop", "rate"):
        path = f"/studies/loop/trials/{ended}/{what}"
        await api.refused(409, "trial-ended", "POST", path, json={})
    await api.refused(404, "not-found", "POST", "/studies/loop/trials/99/stop", json={})


@pytest.mark.parametrize("policies", [[], HALVING])
async def test_a_rate_cut_by_hand_holds_over_restarts_and_attempts(
    settings: Settings, policies: list[Any]
) -> None:
    async with running(settings) as api:
        await api.post("/studies", external(policies=policies, budget={"trials": 2, "steps": 99}))
        trial = await leased(api)
        await trial.report(1, 0.9)
        view = await api.post(f"{TRIAL}/rate", {"why": "the loss jumps"})
        assert view["lr_factor"] == 0.5
        assert (await trial.report(2, 0.8))["lr_factor"] == 0.5
        (halved,) = await events(api, "halved")
        assert halved["data"]["rule"] == "by hand"
        assert halved["data"]["reason"].endswith(": the loss jumps")
        assert (halved["data"]["old_factor"], halved["data"]["new_factor"]) == (1.0, 0.5)
    async with running(settings) as api:
        trial.api = api
        assert (await trial.report(3, 0.7))["lr_factor"] == 0.5
        assert (await api.post(f"{TRIAL}/rate", {"factor": 0.1}))["lr_factor"] == 0.05
        await trial.release()
        # From the start again: each cut comes back after the step at which it was made.
        trial = await leased(api)
        assert trial.level == 1.0
        levels = [(await trial.report(step, 1 / step))["lr_factor"] for step in range(1, 5)]
        assert levels == pytest.approx([0.5, 0.5, 0.05, 0.05])
        rules = [e["data"]["rule"] for e in await events(api, "halved")]
        assert rules == ["by hand"] * 4


async def test_halving_goes_on_below_a_cut_by_hand(api: Api) -> None:
    await api.post("/studies", external(policies=HALVING, budget={"trials": 2, "steps": 99}))
    trial = await leased(api)
    await trial.report(1, 0.5)
    await api.post(f"{TRIAL}/rate", {"factor": 0.5})
    levels = [(await trial.report(step, 0.5))["lr_factor"] for step in range(2, 8)]
    # Step 2 trained before the cut; patience began anew behind it: steps 3 and 4, then 5 at 1/4.
    assert levels == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    rules = [e["data"]["rule"] for e in await events(api, "halved")]
    assert rules == ["by hand", "halve_on_plateau", "halve_on_plateau"]


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.0, 0.001, "0.5"])
async def test_a_factor_out_of_bounds_is_refused(api: Api, factor: object) -> None:
    await api.post("/studies", external())
    await leased(api)
    body = {"factor": factor}
    await api.refused(422, "invalid-input", "POST", f"{TRIAL}/rate", json=body)


async def test_a_waiting_trial_has_no_rate_to_cut_and_none_is_cut_to_nothing(api: Api) -> None:
    await api.post("/studies", external())
    await api.refused(409, "conflict", "POST", f"{TRIAL}/rate", json={})
    await leased(api)
    for _ in range(3):
        await api.post(f"{TRIAL}/rate", {"factor": 0.01})
    said = await api.refused(422, "invalid-input", "POST", f"{TRIAL}/rate", json={"factor": 0.01})
    assert "less than 1e-06" in said["detail"]


async def test_notes_tags_and_pins_are_kept_and_found(settings: Settings) -> None:
    async with running(settings) as api:
        for name in ("loop", "other"):
            await api.post("/studies", external(name))
        await train(api, "loop", [0.5])
        body = {"text": " <b>look</b>\n", "tags": ["paper", "a b", "paper"], "pinned": True}
        shown = await api.patch("/studies/loop/remark", body)
        assert shown["tags"] == ["a b", "paper"]
        await api.patch(f"{TRIAL}/remark", {"tags": ["odd"], "text": "NaN?"})
        said = await api.refused(
            422, "invalid-input", "PATCH", f"{TRIAL}/remark", json={"pinned": True}
        )
        assert "only studies" in said["detail"]
        for bad in ("x" * 41, "a,b", "", "a\n"):
            body = {"tags": [bad]}
            await api.refused(422, "invalid-input", "PATCH", f"{TRIAL}/remark", json=body)
    async with running(settings) as api:
        study = await api.get("/studies/loop")
        assert (study["remark"], study["pinned"]) == ("<b>look</b>", True)
        assert [s["name"] for s in (await api.get("/studies", tag="paper"))["items"]] == ["loop"]
        found = (await api.get("/studies/loop/trials", tag="odd"))["items"]
        assert [(t["number"], t["remark"]) for t in found] == [(0, "NaN?")]
        assert (await api.get("/studies/loop/trials", tag="even"))["items"] == []
        assert (await api.get("/studies/loop/columns"))["columns"]["tags"][0] == "odd"
        (row, _) = (await api.get("/board"))["items"]
        assert (row["tags"], row["pinned"]) == (["a b", "paper"], True)
        cleared = await api.patch("/studies/loop/remark", {"text": "", "tags": [], "pinned": False})
        assert cleared["text"] == ""
        assert len(await events(api, "remarked")) == 3


async def test_two_people_do_not_overwrite_each_others_note(api: Api) -> None:
    await api.post("/studies", external())
    first = await api.http.get(f"{API}/studies/loop/remark")
    tag = first.headers["ETag"]
    path, own = f"{API}/studies/loop/remark", {"If-Match": tag}
    done = await api.http.patch(path, json={"text": "mine"}, headers=own)
    assert done.headers["ETag"] != tag
    late = await api.http.patch(path, json={"text": "yours"}, headers=own)
    problem(late, 412, "precondition-failed")
    assert (await api.get("/studies/loop/remark"))["text"] == "mine"


async def test_remarks_go_with_their_study(settings: Settings) -> None:
    async with running(settings) as api:
        await api.post("/studies", external())
        await api.patch("/studies/loop/remark", {"text": "gone"})
        await api.patch("/studies/loop", {"state": "cancelled"})
        await api.http.delete(f"{API}/studies/loop")
        assert api.services.ledger.memory.tables.remarks == {}
    async with running(settings) as api:
        await api.post("/studies", external())
        assert (await api.get("/studies/loop/remark"))["text"] == ""


async def test_views_are_saved_replaced_and_seen_within_a_project(settings: Settings) -> None:
    async with running(settings) as api:
        first = await api.post("/views", {"name": "running", "query": "state=running"})
        again = await api.post("/views", {"name": "running", "query": "state=paused"})
        assert again["id"] == first["id"]
        body = {"name": "alice", "role": "submitter", "project": "vision"}
        secret = (await api.post("/tokens", body))["secret"]
        hers = {"Authorization": f"Bearer {secret}"}
        made = await api.http.post(f"{API}/views", json={"name": "v", "query": "q=1"}, headers=hers)
        assert made.json()["project"] == "vision"
        taken = {"name": "v", "query": "", "project": "audio"}
        problem(await api.http.post(f"{API}/views", json=taken, headers=hers), 403, "not-allowed")
        seen = (await api.http.get(f"{API}/views", headers=hers)).json()["items"]
        assert [v["name"] for v in seen] == ["v"]
        theirs = f"{API}/views/{first['id']}"
        problem(await api.http.delete(theirs, headers=hers), 404, "not-found")
        await api.refused(
            422, "invalid-input", "POST", "/views", json={"name": "x", "query": "a b"}
        )
    async with running(settings) as api:
        assert [v["query"] for v in (await api.get("/views"))["items"]] == ["state=paused", "q=1"]
        await api.http.delete(f"{API}/views/{first['id']}")
        assert [v["name"] for v in (await api.get("/views"))["items"]] == ["v"]
