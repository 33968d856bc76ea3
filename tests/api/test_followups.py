"""What follows a study: submitted when it finishes, once, and on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.node import Node, serve
from tuner.spec import AfterRun
from tuner.trial import Origin, StudyState
from tuner.wire import StudyView

pytestmark = pytest.mark.anyio
TASK: dict[str, Any] = {
    "run": {"task": "digits-mlp"},
    "space": {"lr": {"values": [0.1, 0.2, 0.4]}},
    "sampler": {"name": "grid"},
    "budget": {"trials": 3, "steps": 9},
}


async def searched(node: Node, values: tuple[float, ...], **changes: Any) -> StudyView:
    """Submit a study and finish its trials: two reports each, the better one at step 2."""
    study = await node.submit(**{**TASK, **changes})
    worker = await node.register(tasks=["digits-mlp"])
    for value in values:
        await run_next(node, worker, value)
    return study


async def run_next(node: Node, worker: str, value: float) -> None:
    (grant,) = (await node.acquire(worker, wait_s=5)).leases
    await node.report(grant, 1, value + 1)
    await node.report(grant, 2, value)
    await node.report(grant, 3, value + 1)
    await node.finish(grant)


def follower(node: Node, name: str) -> AfterRun:
    study = node.services.ledger.memory.study_named(name)
    run = study.spec.run
    assert not isinstance(run, str)
    after = getattr(run, "after", None)
    assert isinstance(after, AfterRun)
    return after


async def test_the_best_configurations_become_an_ensemble(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        after = {"ensemble": {"top": 2}, "data_doctor": {"folds": 4}, "neighbours": {}}
        study = await searched(node, (0.3, 0.1, 0.2), after=after)
        shown = await node.study("s")
        assert shown.state is StudyState.FINISHED
        run = follower(node, "s-ensemble")
        assert (run.of, run.steps) == (study.id, 9)
        trials = node.trials(study)
        assert [(m.trial, m.until) for m in run.members] == [(1, 2), (2, 2)]
        assert [m.seed for m in run.members] == [trials[1].seed, trials[2].seed]
        assert [m.params for m in run.members] == [trials[1].params, trials[2].params]
        view = await node.study("s-ensemble")
        assert view.state is StudyState.QUEUED
        assert view.spec["budget"] == {"trials": 1, "steps": 2, "max_failures": 5}
        assert (view.spec["objective"]["value"], view.spec["policies"]) == ("last", [])
        doctor = follower(node, "s-data-doctor")
        assert (doctor.folds, [m.trial for m in doctor.members]) == (4, [1])
        assert follower(node, "s-neighbours").kind == "neighbours"
        worker = await node.register(tasks=["digits-mlp"])
        (grant,) = (await node.acquire(worker, wait_s=5)).leases
        assert isinstance(grant.run, dict)
        assert grant.run["after"]["kind"] == "ensemble"


async def test_seeds_repeat_the_winner_over_fresh_seeds(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        changes = {
            "after": {"ensemble": {"seeds": 3}}, "repeats": {"finalists": 2, "seeds": 2}
        }  # fmt: skip
        study = await searched(node, (0.3, 0.1, 0.2), **changes)
        assert node.services.ledger.memory.study(study.id).state is StudyState.RUNNING
        worker = await node.register(tasks=["digits-mlp"])
        for value in (0.5, 0.6, 0.3, 0.2):
            await run_next(node, worker, value)
        members = follower(node, "s-ensemble").members
        # trial 1 was lucky: its repeats are worse than those of trial 2
        assert {m.trial for m in members} == {2}
        seeds = {m.seed for m in members}
        assert len(seeds) == 3
        assert not seeds & {t.seed for t in node.trials(study)}


async def test_a_finished_study_is_finished_further_on_request(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await searched(node, (0.3, 0.1, 0.2))
        wish = {"repeats": {"finalists": 1, "seeds": 2}, "after": {"ensemble": {"top": 3}}}
        reply = await node.post("/studies/s/extend", wish)
        assert reply.status_code == 200, reply.text
        assert [t.origin for t in node.trials(study)[3:]] == [Origin.FINALIST] * 2
        worker = await node.register(tasks=["digits-mlp"])
        for value in (0.2, 0.4):
            await run_next(node, worker, value)
        shown = await node.study("s")
        assert shown.state is StudyState.FINISHED
        (row,) = shown.finalists
        assert (row.number, row.first, row.n) == (1, 0.1, 2)
        assert row.mean == pytest.approx(0.3)
        assert row.luck == pytest.approx(0.2)
        # t with one degree of freedom: 12.706 standard errors of 0.1
        assert row.low == pytest.approx(0.3 - 1.2706, abs=1e-3)
        assert row.high == pytest.approx(0.3 + 1.2706, abs=1e-3)
        assert shown.best is not None
        assert (shown.best.luck, shown.best.low) == (row.luck, row.low)
        assert len(follower(node, "s-ensemble").members) == 3


async def test_the_same_wish_twice_makes_one_study(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node, (0.3, 0.1, 0.2))
        for top in (2, 2, 3):
            reply = await node.post("/studies/s/extend", {"after": {"ensemble": {"top": top}}})
            assert reply.json()["state"] == "finished"
        names = {s.name for s in node.services.ledger.memory.studies()}
        assert names == {"s", "s-ensemble", "s-ensemble-2"}


async def test_a_stopped_study_searches_no_further(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await searched(node, (0.3,))
        await node.http.patch("/api/v1/studies/s", json={"state": "stopped"})
        reply = await node.post("/studies/s/extend", {"repeats": {"finalists": 1, "seeds": 2}})
        assert reply.json()["spec"]["budget"]["trials"] == 1
        assert [t.origin for t in node.trials(study)[1:]] == [Origin.FINALIST] * 2


async def test_what_follows_is_followed_by_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node, (0.3, 0.1, 0.2), after={"ensemble": {"top": 2}})
        worker = await node.register(tasks=["digits-mlp"])
        (grant,) = (await node.acquire(worker, wait_s=5)).leases
        for step in (1, 2):
            await node.report(grant, step, 0.1)
        assert (await node.study("s-ensemble")).state is StudyState.FINISHED
        wishes: dict[str, dict[str, Any]] = {"repeats": {"seeds": 2}, "after": {"data_doctor": {}}}
        for wish, body in wishes.items():
            reply = await node.post("/studies/s-ensemble/extend", {wish: body})
            assert reply.status_code == 422
            assert f"{wish}: a study that follows another one has none" in reply.text
        again = {"again": {"of": "s-ensemble", "top": 1}}
        reply = await node.post("/studies/s-ensemble/clone", {"changes": again})
        assert reply.status_code == 422


async def test_a_study_without_a_value_cannot_be_finished(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**TASK)
        await node.http.patch("/api/v1/studies/s", json={"state": "stopped"})
        wishes: tuple[dict[str, Any], ...] = ({"repeats": {}}, {"after": {"data_doctor": {}}})
        for wish in wishes:
            reply = await node.post("/studies/s/extend", wish)
            assert reply.status_code == 409
            assert "nothing to run again" in reply.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run": "external"}, "built-in task"),
        ({"after": {}}, "give ensemble"),
        ({"after": {"ensemble": {"top": 2, "seeds": 2}}}, "one of top, seeds and snapshots"),
        ({"after": {"ensemble": {"top": 1}}}, "should be 2 or more"),
        ({"after": {"ensemble": {"snapshots": 10}}}, "10 snapshots need as many steps"),
        (
            {"after": {"data_doctor": {}}, "run": {"task": "adding-lstm"}},
            "adding-lstm predicts numbers",
        ),
        (
            {"after": {"ensemble": {"top": 2}}, "run": {"task": "digits-vae"}},
            "needs a built-in task with rows and targets",
        ),
    ],
)
async def test_what_cannot_follow_is_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    async with serve(tmp_path) as node:
        study = {"after": {"ensemble": {"top": 2}}, **TASK, **changes}
        reply = await node.post(
            "/studies", {"name": "s", "objective": {"metric": "val_loss"}, **study}
        )
        assert reply.status_code == 422
        assert says in reply.text


async def test_fixed_seeds_have_no_fresh_ones(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node, (0.1,), sampler={"name": "random", "trial_seed": 4})
        reply = await node.post("/studies/s/extend", {"repeats": {}})
        assert reply.status_code == 422
        assert "fresh seeds" in reply.text
