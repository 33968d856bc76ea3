"""Optuna's own samplers, asked as Optuna means them to be: what ours must equal."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from api.sampling.mirror import Mirror, _Told
from api.sampling.points import draw
from api.sampling.terms import Distributions, Point
from tuner.decision import Outcome
from tuner.spec import check
from tuner.study import Study
from tuner.trial import Origin, Report, Trial, TrialState, trial_seed

START = datetime(2026, 1, 1, tzinfo=UTC)
_QMC_ID = "plain:qmc"
_OUTCOMES = (
    *(3 * [Outcome.COMPLETE]),
    *(2 * [Outcome.PRUNED]),
    Outcome.CONVERGED,
    Outcome.DIVERGED,
    Outcome.FAILED,
    Outcome.OOM,
    Outcome.CANCELLED,
    None,
)


class _PlainTpe(_Told, TPESampler):
    """TPE, told which parameters every trial has."""


class _PlainQmc(_Told, QMCSampler):
    """The Sobol sequence, its position noted at the trials that took it."""

    def __init__(self, always: Distributions, skip: int, **options: Any) -> None:
        inspect.unwrap(QMCSampler.__init__)(self, **options)
        self._always = always
        self._skip = skip

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        past = study._storage.get_all_trials(study._study_id, deepcopy=False)
        taken = (t.system_attrs.get(_QMC_ID, -1) for t in past)
        self._position = 1 + max(taken, default=-1) + self._skip
        study._storage.set_trial_system_attr(trial._trial_id, _QMC_ID, self._position)
        super().before_trial(study, trial)

    def _find_sample_id(
        self, study: optuna.Study, search_space: dict[str, BaseDistribution]
    ) -> int:
        return self._position


class Plain(Mirror):
    """Asks Optuna's `study.ask()` on its storage in memory, with a fresh sampler each time."""

    def _sampler(self, study: Study, seed: int, skip: int) -> BaseSampler:
        spec = study.spec.sampler
        startup = {} if spec.startup is None else {"n_startup_trials": spec.startup}
        if spec.name == "tpe":
            return _PlainTpe(self._always, seed=seed, **startup)
        if spec.name == "random":
            return RandomSampler(seed=seed)
        return _PlainQmc(
            self._always,
            skip,
            scramble=True,
            seed=spec.seed,
            independent_sampler=RandomSampler(seed=seed),
            warn_independent_sampling=False,
        )


def study(
    sampler: str, space: dict[str, Any], constraints: Sequence[str] = (), **more: Any
) -> Study:
    """Return a study whose sampler has only four random trials first, if it counts them."""
    chosen = {"name": sampler, "seed": more.pop("seed", 3)}
    if sampler in {"tpe", "gp"}:
        chosen["startup"] = 4
    document = {
        "objective": {"metric": "loss", "mode": more.pop("mode", "min")},
        "space": space,
        "constraints": list(constraints),
        "sampler": chosen,
        "run": "external",
        **more,
    }
    return Study(study_id=1, name="s", spec=check(document), created_at=START)


def history(
    of: Study, rng: random.Random, count: int, outcomes: Sequence[Outcome | None] = _OUTCOMES
) -> list[Trial]:
    """Return trials of these outcomes, None for open ones; values and curves often tie."""
    return [trial(n, draw(of.space, rng), rng, outcomes) for n in range(count)]


def trial(
    number: int,
    point: Point,
    rng: random.Random,
    outcomes: Sequence[Outcome | None] = _OUTCOMES,
) -> Trial:
    """Return a trial as it may stand."""
    outcome = rng.choice(outcomes)
    state = rng.choice([TrialState.WAITING, TrialState.RUNNING])
    value = rng.choice([rng.gauss(0, 1), float(rng.randrange(-2, 3))])
    valued = outcome in (Outcome.COMPLETE, Outcome.CONVERGED)
    steps = range(1, 1 + rng.randrange(0, 4))
    odd = [float("nan"), float("inf"), -float("inf")]
    return Trial(
        trial_id=number + 1,
        study_id=1,
        number=number,
        params=point,
        seed=trial_seed(3, number),
        origin=rng.choice([Origin.SAMPLED, Origin.ENQUEUED]),
        created_at=START + timedelta(seconds=2 * number),
        attempt=1,
        reports=tuple(
            Report(s, rng.choice([value, value / s, *odd][: 3 + 2 * (s % 2)]), 1.0) for s in steps
        ),
        state=state if outcome is None else TrialState.ENDED,
        outcome=outcome,
        value=value if valued and rng.random() < 0.95 else None,
        ended_at=None if outcome is None else START + timedelta(seconds=2 * number + 1),
    )
