"""Controls of halving through the service: created, trained on, compared, and nobody's rival."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from api.sampling.terms import result_of
from tests.api.in_process import API
from tests.api.node import Node, serve
from tuner.trial import EventKind, Origin, StudyState
from tuner.wire import LeaseGrant

pytestmark = pytest.mark.anyio
STUDY: dict[str, Any] = {
    "space": {"lr": {"min": 0.1, "max": 1.0}},
    "policies": [{"name": "halve_on_plateau", "patience": 0, "control": 1.0}],
    "budget": {"trials": 1, "steps": 4},
}


async def train(node: Node, grant: LeaseGrant, values: list[float]) -> None:
    """Report values from where the trial resumes, applying each decision."""
    level = grant.lr_factor
    first = grant.resume.step + 1 if grant.resume else 1
    for step, value in enumerate(values, first):
        level = (await node.report(grant, step, value, level)).lr_factor


async def checkpoint(node: Node, grant: LeaseGrant, step: int) -> None:
    content = b"weights"
    query = f"attempt={grant.attempt}&sha256={hashlib.sha256(content).hexdigest()}"
    reply = await node.http.put(
        f"{API}/leases/{grant.lease}/checkpoints/{step}?{query}",
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert reply.status_code < 300, reply.text


async def test_a_halved_trial_runs_again_without(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**STUDY)
        halved = await node.ask()
        await train(node, halved, [1.0, 1.0, 0.8, 0.6])
        plain = await node.ask()
        assert (plain.number, plain.params, plain.seed) == (1, halved.params, halved.seed)
        assert plain.resume is None
        await train(node, plain, [1.0, 1.0, 1.0, 0.9])
        assert {r.lr_factor for r in node.trial(plain).reports} == {1.0}
        view = await node.study("s")
        assert view.state is StudyState.FINISHED
        assert view.best is not None
        assert view.best.number == 0
        worth = view.halving_worth
        assert worth is not None
        assert (worth.pairs, worth.better, worth.open) == (1, 1, 0)
        assert worth.mean == pytest.approx(0.3)
        assert (worth.low, worth.text) == (
            None, "halving was worth +0.3 of val_loss in the one trial with a control"
        )  # fmt: skip
        reply = (await node.http.get(f"{API}/studies/{study.id}/events?limit=100")).json()
        (told,) = [e for e in reply["items"] if e["kind"] == EventKind.COMPARED]
        assert (told["number"], told["data"]["control"]) == (0, 1)
        assert told["data"]["difference"] == pytest.approx(0.3)


async def test_it_goes_on_from_the_checkpoint_before_the_halving(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**STUDY)
        halved = await node.ask()
        await train(node, halved, [1.0])
        await checkpoint(node, halved, 1)
        await node.report(halved, 2, 1.0)
        plain = await node.ask()
        assert plain.resume is not None
        assert (plain.resume.step, plain.lr_factor) == (1, 1.0)
        assert [r.step for r in node.trial(plain).reports] == [1]


async def test_controls_are_no_part_of_the_search(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**{**STUDY, "budget": {"trials": 2, "steps": 4}})
        await train(node, await node.ask(), [1.0, 1.0, 0.8, 0.6])
        await train(node, await node.ask(), [0.5, 0.4, 0.3, 0.1])  # the control is the best of all
        second = await node.ask()
        assert [t.origin for t in node.trials(study)] == [
            Origin.FOLK, Origin.CONTROL, Origin.SAMPLED
        ]  # fmt: skip
        assert result_of(node.trials(study)[1]).value is None
        await train(node, second, [0.9, 0.8, 0.7, 0.6])
        view = await node.study("s")
        assert view.state is StudyState.FINISHED
        assert view.best is not None
        assert view.best.number == 0


async def test_a_trial_gets_one_control_however_often_it_is_halved(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**STUDY)
        halved = await node.ask()
        await train(node, halved, [1.0, 1.0])
        await node.release(halved)
        again = await node.ask()
        assert again.number == 0
        await train(node, again, [1.0, 1.0, 1.0])
        assert [t.origin for t in node.trials(study)] == [Origin.FOLK, Origin.CONTROL]


async def test_a_halving_at_the_last_step_gets_none(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**STUDY)
        await train(node, await node.ask(), [1.0, 0.9, 0.8, 0.8])
        assert len(node.trials(study)) == 1
        assert (await node.study("s")).halving_worth is None


async def test_the_metrics_that_policies_read_survive_a_restart(tmp_path: Path) -> None:
    policies = [{"name": "early_stopping", "patience": 1}]
    async with serve(tmp_path) as node:
        await node.submit(**{**STUDY, "policies": policies, "budget": {"trials": 1}})
        grant = await node.ask()
        await say(node, grant, 1, 1.0, 0.5)
        await say(node, grant, 2, 2.0, 0.4)
    async with serve(tmp_path) as node:
        before = node.trial(grant).reports
        assert [r.metrics for r in before] == [{"train_loss": 0.5}, {"train_loss": 0.4}]
        decision = await say(node, grant, 3, 2.0, 0.3)
        assert decision["action"] == "stop"
        assert decision["outcome"] == "complete"


async def say(node: Node, grant: LeaseGrant, step: int, value: float, loss: float) -> Any:
    item = {
        "lease": grant.lease,
        "attempt": grant.attempt,
        "step": step,
        "value": value,
        "metrics": {"train_loss": loss, "other": 1.0},
    }
    reply = await node.post("/reports", {"reports": [item]})
    return reply.json()["results"][0]["decision"]
