"""Studies whose trials are programs: submitted, leased to who allows them, replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.in_process import API
from tests.api.node import serve
from tuner.spec import RunCommand
from tuner.wire import StudyView

pytestmark = pytest.mark.anyio

SPACE: dict[str, Any] = {
    "lr": {"min": 0.1, "max": 0.2},
    "optimizer": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.5, "max": 0.9, "when": {"optimizer": "sgd"}},
}
COMMAND = ["python", "src/train.py", "--lr={lr}", ["--momentum", "{momentum}"]]


async def test_a_study_is_named_after_its_script(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        view = await node.submit(name=None, space=SPACE, run={"command": COMMAND})
        assert view.name == "train-1"


async def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        body = {"objective": {"metric": "loss"}, "run": {"command": ["p", "{lrr}"]}, "space": SPACE}
        reply = await node.post("/studies", body)
        assert reply.status_code == 422
        (fault,) = reply.json()["faults"]
        assert fault["where"] == "run.command.1"
        assert "did you mean 'lr'?" in fault["message"]


async def test_a_clone_may_run_another_way(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(space=SPACE, run={"command": COMMAND, "stop_grace": 5.0})
        changed = {"name": "c1", "changes": {"run": {"stop_grace": 7.0}}}
        assert (await node.post("/studies/s/clone", changed)).status_code == 201
        spec = node.services.ledger.memory.study_named("c1").spec
        assert isinstance(spec.run, RunCommand)
        assert (spec.run.stop_grace, len(spec.run.command)) == (7.0, 4)
        changed = {"name": "c2", "changes": {"run": {"entrypoint": "a:b"}}}
        assert (await node.post("/studies/s/clone", changed)).status_code == 201
        changed = {"name": "c3", "changes": {"run": {"command": ["other"]}}}
        assert (await node.post("/studies/s/clone", changed)).status_code == 201
        spec = node.services.ledger.memory.study_named("c3").spec
        assert spec.run == RunCommand(command=["other"])


@pytest.mark.parametrize(("optimizer", "kept"), [("sgd", 4), ("adam", 3)])
async def test_a_replay_leaves_out_what_the_best_trial_had_not(
    tmp_path: Path, optimizer: str, kept: int
) -> None:
    async with serve(tmp_path) as node:
        space = {**SPACE, "optimizer": {"value": optimizer}}
        if optimizer == "adam":
            space["optimizer"] = {"values": ["adam", "sgd"]}
        await node.submit(space=space, run={"command": COMMAND})
        params = {"lr": 0.15, "optimizer": optimizer} | ({"momentum": 0.6} if kept == 4 else {})
        assert (await node.post("/studies/s/trials", {"params": params})).status_code == 201
        worker = await node.register(allow_commands=["python src/train.py *"])
        (grant,) = (await node.acquire(worker)).leases
        assert grant.params == params
        await node.finish(grant, value=0.5)
        text = (await node.http.get(f"{API}/studies/s/export")).text
        media = {"Content-Type": "application/yaml"}
        reply = await node.http.post(f"{API}/studies", content=text, headers=media)
        assert reply.status_code == 201, reply.text
        view = StudyView.model_validate_json(reply.content)
        run = node.services.ledger.memory.study(view.id).spec.run
        assert isinstance(run, RunCommand)
        assert len(run.command) == kept
