"""Reports, heartbeats and ends: fenced, repeatable, the same after a restart."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.api.node import Clock, item, serve, slug
from tuner.decision import Action, Outcome
from tuner.trial import EventKind, Report, StudyState, TrialState
from tuner.wire import DecisionView, LeaseGrant

pytestmark = pytest.mark.anyio
HALVE = {
    "name": "halve_on_plateau",
    "factor": 0.5,
    "patience": 1,
    "threshold": 0.01,
    "threshold_mode": "abs",
}
RATED: dict[str, Any] = {
    "space": {"lr": {"min": 0.1, "max": 1.0}},
    "budget": {"trials": 50, "steps": 100},
}


def torch_factors(values: list[float], start: float, **rule: Any) -> list[float]:
    """Return the rate after each value, in units of the starting rate, as torch decides."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **rule)
    found = []
    for value in values:
        scheduler.step(value)
        found.append(optimizer.param_groups[0]["lr"] / start)
    return found


@pytest.mark.parametrize(
    ("factor", "mode", "seed"), [(0.5, "min", 1), (0.2, "max", 2), (0.3, "min", 3)]
)
async def test_random_curves_get_torchs_rates(
    tmp_path: Path, factor: float, mode: str, seed: int
) -> None:
    rng = random.Random(seed)
    async with serve(tmp_path) as node:
        for number in range(6):
            rule = {
                "factor": factor,
                "patience": rng.randrange(4),
                "threshold": rng.choice([0.0, 1e-3, 0.05]),
                "threshold_mode": rng.choice(["rel", "abs"]),
                "cooldown": rng.randrange(3),
                "eps": 1e-8,
            }
            objective = {"metric": "val_loss", "mode": mode}
            policies = [{"name": "halve_on_plateau", "min_lr": 0.0, **rule}]
            name = f"s{number}"
            await node.submit(**RATED, name=name, objective=objective, policies=policies)
            grant = await node.ask(name)
            values = [rng.uniform(0.5, 1.0) for _ in range(40)]
            expected = torch_factors(values, grant.params["lr"], mode=mode, min_lr=0.0, **rule)
            level, found = 1.0, []
            for step, value in enumerate(values, 1):
                level = (await node.report(grant, step, value, level)).lr_factor
                found.append(level)
            assert found == pytest.approx(expected, rel=1e-12)
            assert found[-1] < 1.0


async def test_the_decision_carries_the_level_and_the_event_its_reason(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED, policies=[HALVE])
        grant = await node.ask()
        decisions = [await node.report(grant, s, 1.0) for s in (1, 2, 3)]
        assert [d.lr_factor for d in decisions] == [1.0, 1.0, 0.5]
        assert decisions[2].reason
        reply = await node.http.get(f"/api/v1/studies/{study.id}/trials/0")
        (cut,) = [e for e in reply.json()["events"] if e["kind"] == EventKind.HALVED]
        assert (cut["step"], cut["data"]["new_factor"]) == (3, 0.5)
        assert (await node.beat(grant)).results[0].decision == decisions[2]


async def test_a_report_thrice_is_one_row_and_one_answer(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        study = await node.submit(**RATED, policies=[HALVE])
        grant = await node.ask()
        for step in range(1, 8):
            answers = [await node.report(grant, step, 1.0, 0.5 ** (step > 3)) for _ in range(3)]
            assert answers[0] == answers[1] == answers[2]
        assert [r.step for r in node.trial(grant).reports] == list(range(1, 8))
        detail = (await node.http.get(f"/api/v1/studies/{study.id}/trials/0")).json()
        assert [r["step"] for r in detail["reports"]] == list(range(1, 8))
        assert sum(e["kind"] == EventKind.HALVED for e in detail["events"]) == 2


async def test_shuffled_and_repeated_reports_end_where_ordered_ones_do(tmp_path: Path) -> None:
    rng = random.Random(7)
    values = [rng.uniform(0.0, 1.0) for _ in range(12)]
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        ordered, shuffled = await node.ask(), await node.ask()
        for step, value in enumerate(values, 1):
            await node.report(ordered, step, value)
        sent = [(s, v) for s, v in enumerate(values, 1)] * 3
        rng.shuffle(sent)
        results = await node.results([item(shuffled, s, v) for s, v in sent])
        assert all(r.decision is not None for r in results)
        assert node.trial(shuffled).reports == node.trial(ordered).reports
        for grant in (ordered, shuffled):
            await node.finish(grant)
        assert node.trial(shuffled).value == node.trial(ordered).value == min(values)


async def test_a_late_report_is_stored_and_changes_no_level(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED, policies=[HALVE])
        grant = await node.ask()
        for step in (1, 2, 4):
            last = await node.report(grant, step, 1.0)
        assert last.lr_factor == 0.5
        late = await node.report(grant, 3, 0.1)
        assert (late.action, late.lr_factor) == (Action.CONTINUE, 0.5)
        assert [r.step for r in node.trial(grant).reports] == [1, 2, 3, 4]


async def test_another_value_for_a_step_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await node.report(grant, 1, 1.0)
        assert await node.refused(grant, 1, 2.0) == "report-mismatch"
        assert node.trial(grant).reports == (Report(1, 1.0, 1.0),)


async def test_one_bad_report_spoils_no_other(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        one, two, gone = await node.ask(), await node.ask(), await node.ask()
        await node.release(gone)
        await node.report(one, 1, 1.0)
        items = [item(gone, 1, 1.0), item(one, 1, 5.0), item(two, 1, 0.5), item(one, 2, 0.4)]
        results = await node.results(items)
        kinds = [None if r.problem is None else slug(r.problem.type) for r in results]
        assert kinds == ["stale-attempt", "report-mismatch", None, None]
        assert node.trial(one).last_step == 2


@pytest.mark.parametrize("value", [None, 1e9])  # not finite; far above the start
async def test_a_diverged_report_ends_the_trial_at_once(
    tmp_path: Path, value: float | None
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED, policies=[{"name": "divergence"}])
        grant = await node.ask()
        await node.report(grant, 1, 1.0)
        stop = await node.report(grant, 2, value)
        assert (stop.action, stop.outcome) == (Action.STOP, Outcome.DIVERGED)
        trial = node.trial(grant)
        assert (trial.state, trial.outcome, trial.value) == (TrialState.ENDED, stop.outcome, None)
        assert await node.report(grant, 2, value) == stop  # the reply was lost
        assert await node.refused(grant, 2, 7.0) == "report-mismatch"
        assert await node.refused(grant, 1, 1.0) == "trial-ended"
        assert await node.refused(grant, 3, 1.0) == "trial-ended"
        assert (await node.beat(grant)).results[0].decision == stop
        assert (await node.finish(grant)).outcome is Outcome.DIVERGED
        assert (await node.finish(grant)).outcome is Outcome.DIVERGED


async def test_a_diverged_report_is_stored_as_no_number(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED, policies=[])
        grant = await node.ask()
        first = await node.report(grant, 1, None)
        assert await node.report(grant, 1, None) == first
        assert math.isnan(node.trial(grant).reports[0].value)


async def test_pruning_ends_a_trial_with_its_best_value(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        pruner = {"name": "median", "startup": 1, "warmup": 2, "grace": 0}
        await node.submit(**RATED, pruner=pruner)
        good, bad = await node.ask(), await node.ask()
        for step in (1, 2, 3):
            await node.report(good, step, 0.1)
        await node.finish(good)
        stop = [await node.report(bad, 1, 0.9), await node.report(bad, 2, 0.8)][-1]
        assert (stop.action, stop.outcome) == (Action.STOP, Outcome.PRUNED)
        assert node.trial(bad).value == 0.8


async def curve(
    folder: Path, values: list[list[float]], restart_at: set[int], **study: Any
) -> list[DecisionView | str]:
    """Report curves side by side; stop and start the server before some of the reports."""
    decisions: list[DecisionView | str] = []
    grants: list[LeaseGrant] = []
    levels = [1.0] * len(values)
    todo = [(s, k) for s in range(1, len(values[0]) + 1) for k in range(len(values))]
    done = 0
    folder.mkdir()
    while done < len(todo):
        async with serve(folder) as node:
            if not grants:
                await node.submit(**RATED, **study)
                grants = [await node.ask() for _ in values]
            for step, k in itertools.islice(todo, done, None):
                report = item(grants[k], step, values[k][step - 1], levels[k])
                (result,) = await node.results([report])
                if result.decision is None:
                    assert result.problem is not None
                    decisions.append(slug(result.problem.type))
                else:
                    levels[k] = result.decision.lr_factor
                    decisions.append(result.decision)
                done += 1
                if done in restart_at:
                    break
    return decisions


@pytest.mark.parametrize(
    "pruner", [{"name": "asha", "min": 2, "eta": 2}, {"name": "median", "startup": 1, "grace": 0}]
)
async def test_a_restart_between_reports_changes_no_decision(
    tmp_path: Path, pruner: dict[str, Any]
) -> None:
    rng = random.Random(11)
    values = [[rng.uniform(0.1, 1.0) for _ in range(9)] for _ in range(4)]
    study = {"pruner": pruner, "policies": [HALVE, {"name": "divergence"}]}
    once = await curve(tmp_path / "once", values, set(), **study)
    again = await curve(tmp_path / "again", values, set(range(3, 36, 5)), **study)
    assert again == once
    assert any(not isinstance(d, str) and d.lr_factor < 1 for d in once)
    assert any(d == "trial-ended" for d in once) or pruner["name"] == "median"


async def test_a_stale_attempt_writes_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        old = await node.ask()
        await node.report(old, 1, 0.9)
        await node.release(old)
        new = await node.ask()
        assert (new.number, new.attempt) == (old.number, 2)
        mixed = old.model_copy(update={"attempt": 2})
        for stale in (old, mixed, new.model_copy(update={"attempt": 1})):
            assert await node.refused(stale, 2, 0.1) == "stale-attempt"
            assert (await node.try_finish(stale, value=0.1)).status_code == 409
            problem = (await node.beat(stale)).results[0].problem
            assert problem is not None
            assert slug(problem.type) == "stale-attempt"
        assert node.trial(new).reports == ()
        assert node.trial(new).state is TrialState.RUNNING


async def test_a_new_attempt_without_a_checkpoint_starts_over(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED, policies=[HALVE])
        old = await node.ask()
        for step in (1, 2, 3):
            await node.report(old, step, 1.0)
        await node.release(old)
        new = await node.ask()
        assert (new.lr_factor, new.resume) == (1.0, None)
        assert node.trial(new).reports == ()
        again = [await node.report(new, step, 1.0) for step in (1, 2, 3)]
        assert [d.lr_factor for d in again] == [1.0, 1.0, 0.5]


async def test_a_cancelled_study_stops_its_trials(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await node.report(grant, 1, 0.5)
        await node.http.patch("/api/v1/studies/s", json={"state": "cancelled"})
        decision = (await node.beat(grant)).results[0].decision
        assert decision is not None
        assert (decision.action, decision.outcome) == (Action.STOP, Outcome.CANCELLED)
        assert await node.refused(grant, 2, 0.4) == "trial-ended"
        assert (await node.study("s")).state is StudyState.CANCELLED


async def test_a_report_renews_the_lease(tmp_path: Path) -> None:
    clock = Clock()
    async with serve(tmp_path, clock, lease_s=30.0) as node:
        await node.submit(**RATED)
        grant, silent = await node.ask(), await node.ask()
        clock.seconds = 29
        await node.report(grant, 1, 1.0)
        clock.seconds = 31
        deadlines = node.services.deadlines
        assert (deadlines.is_past(grant.lease), deadlines.is_past(silent.lease)) == (False, True)


async def test_a_made_up_token_gets_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        forged = grant.model_copy(update={"lease": grant.lease[:-3] + "AAA"})
        assert await node.refused(forged, 1, 0.1) == "stale-attempt"
        assert (await node.try_finish(forged, value=0.1)).status_code == 409
        assert (
            await node.post(f"/leases/{forged.lease}/release", {"attempt": 1})
        ).status_code == 409
        assert node.trial(grant).reports == ()
