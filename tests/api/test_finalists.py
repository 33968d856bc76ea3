"""After the search: the best configurations again, with fresh seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api import finalists
from tests.api.node import Node, serve
from tuner.decision import Outcome
from tuner.trial import Origin, StudyState
from tuner.wire import StudyView

pytestmark = pytest.mark.anyio
REPEATED: dict[str, Any] = {
    "budget": {"trials": 4},
    "repeats": {"finalists": 2, "seeds": 3},
    "space": {"x": {"values": ["a", "b", "c", "d"]}},
    "sampler": {"name": "grid"},
}


async def search(node: Node, values: dict[int, float | None], **changes: Any) -> StudyView:
    study = await node.submit(**{**REPEATED, **changes})
    for _ in values:
        grant = await node.ask()
        value = values[grant.number]
        await node.finish(grant, **({"outcome": "oom"} if value is None else {"value": value}))
    return study


async def test_the_best_run_again_and_the_mean_decides(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await search(node, {0: 0.4, 1: 0.1, 2: 0.2, 3: 0.9})
        runs = node.trials(study)[4:]
        assert [t.origin for t in runs] == [Origin.FINALIST] * 6
        params = [t.params for t in node.trials(study)]
        assert params[4:] == [params[1]] * 3 + [params[2]] * 3
        assert len({t.seed for t in node.trials(study)}) == 10
        assert all(t.never_pruned for t in runs)
        # trial 1 was lucky: its repeats are worse than those of trial 2
        for value in (0.5, 0.6, 0.7, 0.3, 0.2, 0.25):
            assert (await node.study("s")).state is StudyState.RUNNING
            await node.finish(await node.ask(), value=value)
        shown = await node.study("s")
        assert shown.state is StudyState.FINISHED
        assert shown.best is not None
        assert (shown.best.number, shown.best.seeds) == (2, 3)
        assert shown.best.mean == pytest.approx(0.25)
        assert shown.best.std == pytest.approx(0.05)
        rows = finalists.summary(node.services.ledger.memory.study(study.id), node.trials(study))
        assert [(r.source, r.n) for r in rows] == [(2, 3), (1, 3)]


async def test_a_configuration_that_breaks_on_a_seed_does_not_win(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await search(node, {0: 0.4, 1: 0.1, 2: 0.2, 3: 0.9})
        for value in (0.1, 0.1, None, 0.3, 0.3, 0.3):
            grant = await node.ask()
            how: dict[str, Any] = {"value": value} if value else {"outcome": "diverged"}
            await node.finish(grant, **how)
        rows = finalists.summary(node.services.ledger.memory.study(study.id), node.trials(study))
        assert [(r.source, r.n) for r in rows] == [(2, 3), (1, 2)]


@pytest.mark.parametrize(
    ("choose", "winner"),
    [
        ({}, 1),  # means 0.2 and 0.22
        ({"choose": "worst"}, 2),  # 0.4 and 0.23
        ({"choose": "mean_minus_std", "k": 1.0}, 2),  # 0.2 + 0.14 and 0.22 + 0.008
        ({"choose": "mean_minus_std", "k": 0.0}, 1),
    ],
)
async def test_a_robust_choice_counts_bad_luck(
    tmp_path: Path, choose: dict[str, Any], winner: int
) -> None:
    async with serve(tmp_path) as node:
        repeats = REPEATED["repeats"] | choose
        await search(node, {0: 0.4, 1: 0.1, 2: 0.2, 3: 0.9}, repeats=repeats)
        for value in (0.1, 0.1, 0.4, 0.23, 0.22, 0.21):
            await node.finish(await node.ask(), value=value)
        shown = await node.study("s")
        assert shown.best is not None
        assert shown.best.number == shown.finalists[0].number == winner
        assert {row.number: row.worst for row in shown.finalists} == {1: 0.4, 2: 0.23}


async def test_maximising_repeats_the_largest(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        objective = {"metric": "val_accuracy", "mode": "max"}
        study = await search(node, {0: 0.4, 1: 0.1, 2: None, 3: 0.9}, objective=objective)
        params = [t.params for t in node.trials(study)]
        assert params[4:] == [params[3]] * 3 + [params[0]] * 3


async def test_without_a_value_there_is_nothing_to_repeat(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await search(node, {0: None, 1: None, 2: None, 3: None})
        assert (await node.study("s")).state is StudyState.FINISHED


async def test_a_stopped_study_repeats_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**REPEATED)
        grant = await node.ask()
        await node.http.patch("/api/v1/studies/s", json={"state": "stopped"})
        await node.finish(grant, value=1.0)
        assert (await node.study("s")).state is StudyState.FINISHED
        assert len(node.trials(study)) == 1


async def test_an_extended_study_repeats_only_new_finalists(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        values: dict[int, float | None] = {0: 0.4, 1: 0.1, 2: 0.2}
        study = await search(node, values, budget={"trials": 3})
        for _ in range(6):
            await node.finish(await node.ask(), value=0.3)
        assert (await node.study("s")).state is StudyState.FINISHED
        await node.post("/studies/s/extend", {"trials": 1})
        await node.finish(await node.ask(), value=0.05)
        new = node.trials(study)[10:]
        assert len(new) == 3
        assert {repr(t.params) for t in new} == {repr(node.trials(study)[9].params)}
        for _ in range(3):
            await node.finish(await node.ask(), value=0.3)
        shown = await node.study("s")
        assert (shown.state, shown.counts[Outcome.COMPLETE]) == (StudyState.FINISHED, 13)
