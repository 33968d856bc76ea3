"""Proposals: valid, reproducible, and made from what Optuna should know."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from api import search
from api.sampling.mirror import Mirror
from api.search import Search
from tuner.decision import Outcome
from tuner.errors import InvalidInput
from tuner.policies.pruning import bracket_of
from tuner.space import Params
from tuner.spec import HyperbandPruner, check
from tuner.study import Study
from tuner.trial import Origin, Report, Trial, TrialState, trial_seed

START = datetime(2026, 1, 1, tzinfo=UTC)
CONDITIONAL: dict[str, Any] = {
    "lr": {"min": 1e-4, "max": 1.0, "log": True},
    "batch_size": {"values": [16, 32, 64]},
    "width": {"min": 8, "max": 64, "step": 8},
    "third": {"min": 0.1, "max": 1.1, "step": 1 / 3},
    "optimizer": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.8, "max": 0.99, "when": {"optimizer": "sgd"}},
    "nesterov": {"values": [True, False], "when": {"optimizer": "sgd"}},
    "fixed": {"value": 7},
}
CONDITIONAL["third"] = {"min": 0.1, "max": 1.0, "step": 0.3}
FINITE: dict[str, Any] = {
    "depth": {"min": 1, "max": 3},
    "optimizer": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.8, "max": 0.9, "step": 0.05, "when": {"optimizer": "sgd"}},
}
SAMPLERS = ("tpe", "random", "cmaes", "gp", "qmc", "grid")


def study(
    sampler: str = "tpe",
    space: dict[str, Any] | None = None,
    constraints: Sequence[str] = (),
    **more: Any,
) -> Study:
    document = {
        "objective": {"metric": "loss", "mode": more.pop("mode", "min")},
        "space": space or CONDITIONAL,
        "constraints": list(constraints),
        "sampler": {"name": sampler, "seed": more.pop("seed", 3)},
        "run": "external",
        **more,
    }
    if sampler in {"tpe", "gp"}:
        document["sampler"]["startup"] = 4
    return Study(study_id=1, name="s", spec=check(document), created_at=START)


def value_of(params: Params) -> float:
    """A smooth objective that likes large rates and momentum."""
    lr = float(params.get("lr", 0.1))
    return (math.log10(lr) + 1) ** 2 + float(params.get("momentum", 0.8))


def ended(
    number: int, params: Params, outcome: Outcome | None = Outcome.COMPLETE, **more: Any
) -> Trial:
    value = value_of(params)
    finished: dict[str, Any] = {
        "state": TrialState.ENDED,
        "outcome": outcome,
        "value": value if outcome in (Outcome.COMPLETE, Outcome.CONVERGED) else None,
        "ended_at": START + timedelta(seconds=2 * number + 1),
    }
    return Trial(
        trial_id=number + 1,
        study_id=1,
        number=number,
        params=params,
        seed=trial_seed(3, number),
        origin=more.pop("origin", Origin.SAMPLED),
        created_at=START + timedelta(seconds=2 * number),
        attempt=1,
        reports=more.pop("reports", (Report(1, value + 1, 1.0), Report(2, value, 1.0))),
        **(finished if outcome is not None else {"state": TrialState.RUNNING}),
    )


def propose(found: Search, of: Study, trials: Sequence[Trial], count: int = 1) -> list[Params]:
    points = asyncio.run(found.propose(of, trials, count))
    return list(points)


def run_study(of: Study, n: int, restart_at: Sequence[int] = ()) -> list[Trial]:
    """Run `n` trials one after the other; forget everything but the trials at some of them."""
    found, trials = Search(), list[Trial]()
    outcomes = (Outcome.COMPLETE, Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED)
    for number in range(n):
        if number in restart_at:
            found.close()
            found = Search()
        points = propose(found, of, trials)
        if not points:
            break
        outcome = outcomes[number % 4] if number > 4 else Outcome.COMPLETE
        trials.append(ended(number, points[0], outcome))
    found.close()
    return trials


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "grid"])
def test_points_lie_in_a_conditional_space_and_meet_the_constraints(sampler: str) -> None:
    of = study(sampler, constraints=["lr * 64 / batch_size <= 0.5", "momentum < 0.95"])
    trials = run_study(of, 24)
    assert len(trials) == 24
    for trial in trials:
        assert of.space.faults(trial.params) == []
        assert of.allows(trial.params)
        third = float(trial.params["third"])
        assert min(abs(third - x) for x in (0.1, 0.4, 0.7, 1.0)) < 1e-12
        assert trial.params["fixed"] == 7
    assert {t.params["optimizer"] for t in trials} == {"sgd", "adam"}
    assert len({repr(t.params) for t in trials}) > 20


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "grid"])
def test_a_restart_changes_no_proposal(sampler: str) -> None:
    of = study(sampler, constraints=["lr * 64 / batch_size <= 0.5"])
    once = [t.params for t in run_study(of, 20)]
    again = [t.params for t in run_study(of, 20, restart_at=(1, 7, 13, 19))]
    assert again == once


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_seed_matters(sampler: str) -> None:
    space = FINITE if sampler == "grid" else CONDITIONAL
    one = [t.params for t in run_study(study(sampler, space, seed=1), 6)]
    two = [t.params for t in run_study(study(sampler, space, seed=2), 6)]
    assert one != two


def test_the_grid_is_walked_once_without_what_the_constraints_forbid() -> None:
    of = study("grid", FINITE, constraints=["depth < 3"])
    trials = run_study(of, 100, restart_at=(3,))
    points = {tuple(sorted(t.params.items())) for t in trials}
    assert len(points) == len(trials) == 2 * (1 + 3)


def test_the_grid_leaves_out_what_others_tried() -> None:
    of = study("grid", FINITE)
    folk = ended(0, {"depth": 2, "optimizer": "adam"}, origin=Origin.FOLK)
    found = Search()
    points = propose(found, of, [folk], count=50)
    found.close()
    assert len(points) == 3 * (1 + 3) - 1
    assert folk.params not in points


@pytest.mark.parametrize(
    ("sampler", "space", "constraints", "words"),
    [
        ("grid", {"lr": {"min": 0.1, "max": 1.0}}, [], "needs lr to have a step"),
        ("grid", {"n": {"min": 1, "max": 10**6}}, [], "at most 50000 points"),
        ("grid", {c: {"min": 1, "max": 100} for c in "abc"}, [], "at most 50000 points"),
        ("grid", FINITE, ["depth > 5"], "no point of the grid"),
        ("tpe", CONDITIONAL, ["lr > 2"], "no point of the space"),
    ],
)
def test_what_can_propose_nothing_is_refused(
    sampler: str, space: dict[str, Any], constraints: list[str], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        search.check(study(sampler, space, constraints).spec)


def test_a_narrow_constraint_is_met_by_drawing() -> None:
    of = study("gp", {"x": {"min": 0.0, "max": 1.0}}, ["x < 0.01"])
    search.check(of.spec)
    assert all(float(t.params["x"]) < 0.01 for t in run_study(of, 8))


def mirror(of: Study, trials: Sequence[Trial]) -> optuna.Study:
    found = Search()
    propose(found, of, trials)
    inner = mirrored(found)
    found.close()
    return inner


def mirrored(found: Search) -> optuna.Study:
    proposer = found._proposers[1]
    assert isinstance(proposer, Mirror)
    return proposer._study


@pytest.mark.parametrize(
    ("outcome", "state", "curve", "valued"),
    [
        (Outcome.COMPLETE, OptunaState.COMPLETE, True, True),
        (Outcome.CONVERGED, OptunaState.COMPLETE, True, True),
        (Outcome.PRUNED, OptunaState.PRUNED, True, False),
        (Outcome.DIVERGED, OptunaState.PRUNED, False, False),  # ranks behind all with a curve
        (Outcome.OOM, OptunaState.FAIL, None, False),
        (Outcome.FAILED, OptunaState.FAIL, None, False),
        (Outcome.CANCELLED, OptunaState.FAIL, None, False),
        (None, OptunaState.RUNNING, None, False),
    ],
)
def test_outcomes_in_optunas_terms(
    outcome: Outcome | None, state: OptunaState, curve: bool | None, valued: bool
) -> None:
    of = study("gp")
    trial = ended(0, run_study(of, 1)[0].params, outcome)
    seen = mirror(of, [trial]).trials[0]
    assert (seen.number, seen.state) == (0, state)
    assert (seen.value == trial.value) if valued else (seen.values is None)
    if curve is not None:
        expected = {r.step: r.value for r in trial.reports} if curve else {}
        assert seen.intermediate_values == expected


def test_tpe_ranks_diverged_trials_last() -> None:
    space = {"x": {"min": 0.0, "max": 1.0}}
    trials = [
        ended(i, {"x": i / 40}, Outcome.DIVERGED if i < 20 else Outcome.PRUNED) for i in range(40)
    ]
    found = []
    for seed in range(12):
        fresh = Search()
        found += propose(fresh, study("tpe", space, seed=seed), trials)
        fresh.close()
    assert sum(float(p["x"]) > 0.5 for p in found) >= 11


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s != "grid"])
def test_rejected_and_unused_proposals_leave_no_trace(sampler: str) -> None:
    of = study(sampler, constraints=["lr < 0.001"])
    trials = run_study(of, 8)
    found = Search()
    first = propose(found, of, trials)
    assert propose(found, of, trials) == first
    assert propose(found, of, trials, count=3)[0] == first[0]
    assert propose(found, of, trials[:5]) == [trials[5].params]
    found.close()


def test_cmaes_keeps_its_generations() -> None:
    space = {c: {"min": 0.0, "max": 1.0} for c in "ab"}
    trials = list[Trial]()
    found, of = Search(), study("cmaes", space)
    for number in range(40):
        (point,) = propose(found, of, trials)
        trial = ended(number, point)
        trials.append(trial.evolve(value=sum((float(v) - 0.7) ** 2 for v in point.values())))
    inner = mirrored(found)
    found.close()
    generations = [t.system_attrs.get("cma:generation", 0) for t in inner.trials[:40]]
    assert generations == sorted(generations)
    assert generations[-1] >= 4
    late = [t.value for t in trials[30:] if t.value is not None]
    assert max(late) < 0.1  # a random point's is larger in most of ten draws


def test_hyperbands_brackets_are_those_of_our_numbers() -> None:
    document = {"name": "hyperband", "min": 1, "max": 27, "eta": 3}
    of = study("cmaes", {"x": {"min": 0.0, "max": 1.0}}, pruner=document)
    pruner = of.spec.pruner
    assert isinstance(pruner, HyperbandPruner)
    inner = mirror(of, [ended(i, {"x": i / 60}) for i in range(60)])
    drawn = [inner.pruner._get_bracket_id(inner, t) for t in inner.trials]  # type: ignore[attr-defined]
    assert drawn == [bracket_of(pruner, of.name, n) for n in range(61)]
    assert set(drawn) == {0, 1, 2, 3}


def test_maximising_is_mirrored() -> None:
    assert mirror(study("cmaes", mode="max"), []).direction is optuna.study.StudyDirection.MAXIMIZE


def test_only_kept_studies_are_remembered() -> None:
    found, of = Search(), study("random")
    propose(found, of, [])
    found.keep({1})
    assert 1 in found._proposers
    found.keep(set())
    found.close()
    assert found._proposers == {}
