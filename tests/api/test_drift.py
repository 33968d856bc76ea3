"""A finished study's best again, on other data: whether it still holds, and when a search pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.api.node import Node, serve
from tuner.trial import Origin
from tuner.wire import DriftView, StudyView

pytestmark = pytest.mark.anyio
SEARCH: dict[str, Any] = {
    "space": {"x": {"values": ["a", "b", "c", "d"]}},
    "sampler": {"name": "grid"},
    "budget": {"trials": 4},
    "pruner": {"name": "none"},
}
AGAIN = {"again": {"of": "s", "top": 2}, "budget": {"trials": 3}}
FRESH = {"repeats": {"finalists": 3, "seeds": 3}}


async def searched(node: Node, **changes: Any) -> StudyView:
    """Search four values of x; b is best, then c."""
    study = await node.submit(**{**SEARCH, **changes})
    values = {"a": 0.4, "b": 0.1, "c": 0.2, "d": 0.9}
    for _ in values:
        grant = await node.ask()
        await node.finish(grant, value=values[grant.params["x"]])
    return study


async def again(
    node: Node, values: Mapping[str, Sequence[float | None]], **changes: Any
) -> DriftView:
    """Run the best again, where x gives one of its values after the other; return the verdict."""
    document = {**SEARCH, **AGAIN, "name": "t", "objective": {"metric": "val_loss"}}
    document |= {"run": "external", **changes}
    reply = await node.post("/studies", document)
    assert reply.status_code == 201, reply.text
    given = {name: list(of) for name, of in values.items()}
    while (shown := await node.study("t")).state not in ("finished", "cancelled"):
        assert shown.drift is not None
        assert shown.drift.pays is None
        grant = await node.ask("t")
        value = given[grant.params["x"]].pop(0)
        ended: dict[str, Any] = {"outcome": "diverged"} if value is None else {"value": value}
        await node.finish(grant, **ended)
    assert shown.drift is not None
    return shown.drift


async def test_the_best_ones_are_the_first_trials_in_their_order(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await searched(node)
        reply = await node.post("/studies/s/clone", {"changes": AGAIN | FRESH})
        made = StudyView.model_validate(reply.json())
        there = {t.params["x"]: t.number for t in node.trials(study)}
        assert made.name == "s-again-1"
        assert made.spec["again"] == {
            "of": "s", "top": 2, "study": study.id, "trials": [there["b"], there["c"]], "then": 0.1
        }  # fmt: skip
        trials = node.trials(made)
        assert [t.params for t in trials] == [{"x": "b"}, {"x": "c"}]
        assert [t.origin for t in trials] == [Origin.ENQUEUED] * 2


async def test_what_still_is_best_needs_no_search(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await searched(node)
        known = {"b": [0.2, 0.3, 0.31, 0.32], "c": [0.1, 0.4, 0.41, 0.42], "a": [0.5] * 4}
        found = await again(node, known | {"d": [0.9] * 4}, **FRESH)
        assert (found.study, found.then, found.pays, found.rival) == (study.id, 0.1, False, None)
        assert node.trials(study)[found.trial].params == {"x": "b"}
        assert found.now == pytest.approx(0.31)
        assert "(0.1 there) and is the best of 3: no new search is needed" in found.text


async def test_a_rival_beyond_chance_makes_a_search_pay(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        values = {"b": [0.3, 0.3, 0.31, 0.32], "c": [0.2, 0.2, 0.21, 0.22]}
        found = await again(node, values | {"a": [0.9] * 4, "d": [0.9] * 4}, **FRESH)
        assert (found.pays, found.rival) == (True, 1)
        assert found.gain == pytest.approx(0.1)
        # two samples of variance 1e-4 and 3 values: 2.776 (4 degrees of freedom) * sqrt(2e-4 / 3)
        half = 2.776 * (2e-4 / 3) ** 0.5
        assert found.low == pytest.approx(0.1 - half, rel=1e-3)
        assert found.high == pytest.approx(0.1 + half, rel=1e-3)
        assert found.text.endswith("a new search pays")


async def test_fresh_seeds_judge_the_old_best_even_after_a_bad_run(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        # b has one bad run, and is the worst of the three; its fresh seeds are as good as any
        values = {"b": [0.9, 0.2, 0.21, 0.22], "c": [0.2, 0.2, 0.21, 0.22]}
        few = {"repeats": {"finalists": 1, "seeds": 3}}
        found = await again(node, values | {"a": [0.3], "d": [0.3]}, **few)
        assert (found.pays, found.rival) == (False, None)
        assert {row.number for row in (await node.study("t")).finalists} == {0, 1}


async def test_a_rival_within_chance_does_not(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        values = {"b": [0.3, 0.2, 0.31, 0.42], "c": [0.2, 0.1, 0.31, 0.42]}
        found = await again(node, values | {"a": [0.9] * 4, "d": [0.9] * 4}, **FRESH)
        assert (found.pays, found.rival) == (False, 1)
        assert "that may be chance" in found.text


async def test_single_runs_cannot_tell(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        found = await again(node, {"b": [0.3], "c": [0.2], "a": [0.9], "d": [0.9]})
        assert (found.pays, found.rival, found.low) == (None, 1, None)
        assert "give repeats" in found.text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([None], "the best there, diverged here: a new search pays"),
        ([0.1, 0.1, None, 0.1], "diverged on a fresh seed here: a new search pays"),
    ],
)
async def test_what_breaks_on_the_new_data_makes_a_search_pay(
    tmp_path: Path, values: list[float | None], says: str
) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        others: dict[str, list[float | None]] = {name: [0.5] * 4 for name in "acd"}
        found = await again(node, {"b": values} | others, **FRESH)
        assert (found.pays, found.now) == (True, None)
        assert says in found.text


async def test_a_trial_that_fails_otherwise_tells_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        document = {**SEARCH, **AGAIN, "name": "t", "run": "external", "retry": {"max": 0}}
        await node.post("/studies", {"objective": {"metric": "val_loss"}, **document})
        for value in (None, 0.3, 0.3):
            grant = await node.ask("t")
            ended = {"outcome": "failed", "error": "no file"} if value is None else {"value": value}
            await node.finish(grant, **ended)
        drift = (await node.study("t")).drift
        assert drift is not None
        assert (drift.pays, drift.now) == (None, None)
        assert drift.text.endswith("was not trained to its end here (failed)")


@pytest.mark.parametrize(
    ("changes", "where", "says"),
    [
        ({"again": {"of": "nobody"}}, "again.of", "no study is named 'nobody'"),
        ({"objective": {"metric": "loss"}}, "again.of", "another objective"),
        (
            {"space": {"x": {"values": ["a", "b"]}}},
            "again.of",
            "of s does not fit this study's space: x='c' lies",
        ),
        ({"again": {"of": "s", "top": 9}}, "again.top", "9 trials, but budget.trials is 3"),
    ],
)
async def test_what_cannot_run_again_is_refused(
    tmp_path: Path, changes: dict[str, Any], where: str, says: str
) -> None:
    async with serve(tmp_path) as node:
        await searched(node)
        document = {**SEARCH, **AGAIN, "name": "t", "run": "external", **changes}
        reply = await node.post("/studies", {"objective": {"metric": "val_loss"}, **document})
        assert reply.status_code == 422
        assert where in reply.text
        assert says in reply.text
        assert (await node.http.get("/api/v1/studies/t")).status_code == 404


async def test_a_study_without_a_value_has_nothing_to_run_again(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**SEARCH)
        reply = await node.post("/studies/s/clone", {"changes": AGAIN})
        assert reply.status_code == 422
        assert "no trial that trained to its end" in reply.text
