"""What is taken away: a document that replays the best trial, and everything as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, external, train
from tests.api.in_process import API
from tuner.policies import schedule
from tuner.spec import RateSchedule, check, parse_yaml
from tuner.trial import EventKind, Report, trial_seed
from tuner.wire import StudyExport

pytestmark = pytest.mark.anyio

HALVING = {"name": "halve_on_plateau", "factor": 0.5, "patience": 0, "threshold": 0.0}
CURVE = [0.5, 0.25, 0.25, 0.25, 0.5]


async def export(api: Api, **query: str) -> str:
    response = await api.http.get(f"{API}/studies/loop/export", params=query)
    assert response.status_code == 200, response.text
    return response.text


async def test_yaml_replays_parameters_seed_and_schedule(api: Api) -> None:
    await api.post(
        "/studies", external(policies=[HALVING, {"name": "divergence"}], budget={"steps": 50})
    )
    await train(api, "loop", [0.75])
    await train(api, "loop", CURVE)
    text = await export(api)
    assert text.startswith("# Replays trial 1 of study 'loop': loss 0.25 at step 2.\n")
    document: dict[str, Any] = parse_yaml(text)
    check(document)
    best = (await api.get("/studies/loop"))["best"]
    assert {k: v["value"] for k, v in document["space"].items()} == best["params"]
    assert document["budget"] == {"trials": 1, "steps": 50}
    assert document["policies"][0] == {
        "name": "rate_schedule",
        "points": [{"step": 3, "lr_factor": 0.5}, {"step": 4, "lr_factor": 0.25}],
    }
    assert document["policies"][1]["name"] == "divergence"
    assert document["sampler"]["trial_seed"] == trial_seed(1, 1)
    response = await api.http.post(
        f"{API}/studies", content=text, headers={"Content-Type": "application/yaml"}
    )
    study = response.json()["id"]
    lease = (await api.post(f"/studies/{study}/ask", {}))["leases"][0]
    assert lease["params"] == best["params"]
    assert lease["seed"] == trial_seed(1, 1)
    (trial,) = (await api.get(f"/studies/{study}/trials"))["items"]
    assert trial["origin"] == "sampled"


async def test_a_replay_follows_the_schedule(api: Api) -> None:
    """The levels a replay trains at are those of the trial it replays, whatever it reports."""
    await api.post("/studies", external(policies=[HALVING], budget={"steps": 50}))
    original = await train(api, "loop", CURVE)
    text = await export(api)
    media = {"Content-Type": "application/yaml"}
    replay = (await api.http.post(f"{API}/studies", content=text, headers=media)).json()
    await train(api, replay["id"], [0.5 / (i + 1) for i in range(5)])
    curves = [
        [r["lr_factor"] for r in (await api.get(f"/studies/{ref}/trials/{n}"))["reports"]]
        for ref, n in (("loop", original["number"]), (replay["id"], 0))
    ]
    assert curves[0] == [1.0, 1.0, 1.0, 0.5, 0.25]
    assert curves[1] == curves[0]


async def test_a_converged_trial_is_replayed_to_where_it_ended(api: Api) -> None:
    converging = HALVING | {"min_lr": 1.0}
    space = {"lr": {"min": 0.5, "max": 1.0}}
    await api.post("/studies", external(policies=[converging], space=space, budget={"steps": 50}))
    await train(api, "loop", [0.5, 0.5, 0.5])
    trial = (await api.get("/studies/loop/trials", outcome="converged"))["items"][0]
    document: dict[str, Any] = parse_yaml(await export(api))
    assert document["budget"]["steps"] == trial["last_step"]
    assert "rate_schedule" not in [p["name"] for p in document["policies"]]


async def test_nothing_to_replay_is_not_found(api: Api) -> None:
    await api.post("/studies", external())
    await api.refused(404, "not-found", "GET", "/studies/loop/export")


async def test_json_holds_everything(api: Api) -> None:
    await api.post(
        "/studies", external(policies=[HALVING, {"name": "divergence"}], budget={"steps": 50})
    )
    await train(api, "loop", CURVE)
    await train(api, "loop", [0.5, 1e9])
    found = StudyExport.model_validate_json(await export(api, format="json"))
    assert found.study.name == "loop"
    ended = [t for t in found.trials if t.outcome]
    assert [t.outcome for t in ended] == ["complete", "diverged"]
    assert ended[0].curve[3] == (4, 0.25, 0.5)
    assert [p.step for p in ended[0].schedule] == [0, 3, 4]
    assert sum(e.kind is EventKind.ENDED for e in found.events) == 2
    assert [e.seq for e in found.events] == sorted(e.seq for e in found.events)


async def test_events_are_paged(api: Api) -> None:
    await api.post("/studies", external())
    await train(api, "loop", [0.5])
    everything = (await api.get("/studies/loop/events"))["items"]
    page = await api.get("/studies/loop/events", limit=2)
    assert page["items"] == everything[:2]
    rest = await api.get("/studies/loop/events", after=page["next_cursor"])
    assert page["items"] + rest["items"] == everything
    assert rest["next_cursor"] is None


POLICY = RateSchedule.model_validate(
    {
        "name": "rate_schedule",
        "points": [{"step": 2, "lr_factor": 0.5}, {"step": 4, "lr_factor": 2.0}],
    }
)


@pytest.mark.parametrize(
    ("step", "level"),
    [(0, 1.0), (1, 1.0), (2, 0.5), (3, 0.5), (4, 2.0), (9, 2.0)],
)
def test_level_of_a_schedule(step: int, level: float) -> None:
    assert schedule.level(POLICY, step) == level


def test_a_schedule_records_what_it_lowers() -> None:
    reports = [Report(1, 0.5, 1.0), Report(2, 0.5, 1.0)]
    verdict = schedule.judge(POLICY, reports, given=1.0)
    assert (verdict.lr_factor, verdict.cuts) == (0.5, (2,))
    assert verdict.records[0].data["new_factor"] == 0.5
    later = schedule.judge(POLICY, [*reports, Report(3, 0.5, 0.5)], given=0.5)
    assert (later.lr_factor, later.records, later.cuts) == (0.5, (), (2,))
    assert schedule.judge(POLICY, [], given=0.25).lr_factor == 0.25


async def test_any_trial_is_replayed(api: Api) -> None:
    await api.post("/studies", external(policies=[HALVING], budget={"steps": 50}))
    await train(api, "loop", [0.75])
    await train(api, "loop", CURVE)
    text = await export(api, trial="0")
    assert text.startswith("# Replays trial 0 of study 'loop': complete.\n")
    document = parse_yaml(text)
    check(document)
    first = (await api.get("/studies/loop/trials/0"))["params"]
    assert {k: v["value"] for k, v in document["space"].items()} == first
    assert document["sampler"]["trial_seed"] == trial_seed(1, 0)
    path = f"{API}/studies/loop/export"
    for query, status in (({"trial": "9"}, 404), ({"trial": "0", "format": "csv"}, 422)):
        assert (await api.http.get(path, params=query)).status_code == status
