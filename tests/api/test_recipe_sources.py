"""Trials that a recipe names: settled when its study is submitted, or refused where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.node import Node, serve
from tests.api.test_artifacts import RATED, put

pytestmark = pytest.mark.anyio


def _document(recipe: dict[str, Any], **more: Any) -> dict[str, Any]:
    run = {"task": "digits-mlp", "recipe": recipe}
    return {"objective": {"metric": "val_loss"}, "run": run, **more}


async def _trained(node: Node, name: str) -> None:
    """Submit a study of a task, and report a step of its first trial, with a checkpoint."""
    await node.submit(**{**RATED, "name": name, "run": {"task": "digits-mlp"}})
    (grant,) = (await node.acquire(await node.register(tasks=["digits-mlp"]))).leases
    await node.report(grant, 1, 1.0)
    assert (await put(node, grant, 1, b"weights")).status_code == 200


async def test_the_best_is_settled_once(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await _trained(node, "old")
        named = await node.post("/studies", _document({"teacher": ["old/0"], "start_from": "1/0"}))
        assert named.status_code == 201, named.text
        assert named.json()["spec"]["run"]["recipe"] == {"teacher": ["old/0"], "start_from": "1/0"}
        early = await node.post("/studies", _document({"start_from": "old/best"}))
        assert early.status_code == 422
        assert early.json()["faults"][0] == {
            "where": "run.recipe.start_from", "message": "study old has no best trial yet"
        }  # fmt: skip


async def test_the_best_few_are_an_ensemble_that_teaches(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**{**RATED, "name": "old", "run": {"task": "digits-mlp"}})
        grants = (await node.acquire(await node.register(tasks=["digits-mlp"]), n=3)).leases
        for grant, value in zip(grants, (2.0, 1.0, 3.0), strict=True):
            await node.report(grant, 1, value)
            assert (await put(node, grant, 1, b"weights")).status_code == 200
            await node.finish(grant, outcome="complete")
        made = await node.post("/studies", _document({"teacher": ["old/top2", "old/2"]}))
        assert made.json()["spec"]["run"]["recipe"]["teacher"] == ["old/1", "old/0", "old/2"]
        alone = await node.post("/studies", _document({"teacher": "old/top3"}))
        assert alone.json()["spec"]["run"]["recipe"]["teacher"] == ["old/1", "old/0", "old/2"]
        many = await node.post("/studies", _document({"teacher": "old/top4"}))
        (fault,) = many.json()["faults"]
        assert fault["message"] == "study old has 3 configurations with a value"


@pytest.mark.parametrize(
    ("recipe", "more", "where", "words"),
    [
        ({"teacher": "nope/1"}, {}, "run.recipe.teacher", "no study is named"),
        ({"teacher": ["old/0", "old/7"]}, {}, "run.recipe.teacher", "no trial 7"),
        ({"start_from": "without/0"}, {}, "run.recipe.start_from", "keeps no checkpoint"),
        ({"start_from": "old/0", "width": 32}, {}, "run.recipe.start_from", "its width is 64"),
        ({"teacher": "idle/0"}, {}, "run.recipe.teacher", "no network of a built-in task"),
        (
            {"start_from": "old/0"},
            {"queue": {"project": "other"}},
            "run.recipe.start_from",
            "of another project",
        ),
    ],
)
async def test_what_can_not_be_handed_out_is_refused(
    tmp_path: Path, recipe: Any, more: Any, where: str, words: str
) -> None:
    async with serve(tmp_path) as node:
        await _trained(node, "old")
        await node.submit(**{**RATED, "name": "idle"})
        await node.ask("idle")
        await node.submit(**{**RATED, "name": "without", "run": {"task": "digits-mlp"}})
        reply = await node.post("/studies", _document(recipe, **more))
        assert reply.status_code == 422, reply.text
        (fault,) = reply.json()["faults"]
        assert fault["where"] == where
        assert words in fault["message"]
