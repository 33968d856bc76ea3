"""Optuna's own samplers, on a mirror of the study in Optuna's terms: GP and CMA-ES."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from api.sampling.proposer import Proposer
from api.sampling.terms import (
    RUNNING,
    Distributions,
    Point,
    Result,
    from_optuna,
    result_of,
    to_distribution,
    to_optuna,
    varying,
)
from tuner.space import Params
from tuner.spec import HyperbandPruner as HyperbandSpec
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState


class _Told:
    """A sampler that is told the parameters every trial has, instead of searching the history."""

    def __init__(self, always: Distributions, **options: Any) -> None:
        super().__init__(**options)
        self._always = always

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._always)


class _Gp(_Told, GPSampler):
    """The Gaussian process, told."""


class _CmaEs(_Told, CmaEsSampler):
    """CMA-ES, told; categorical parameters are drawn at random."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {k: d for k, d in self._always.items() if not isinstance(d, CategoricalDistribution)}


class _Storage(InMemoryStorage):
    """Optuna's storage in memory for one study; trials are laid in and taken back by number."""

    def lay(self, trial: FrozenTrial) -> None:
        trials = self._studies[0].trials
        if trial.number < len(trials):
            trials[trial.number] = trial
            return
        self._trial_id_to_study_id_and_number[trial.number] = (0, trial.number)
        self._max_trial_id = trial.number
        trials.append(trial)

    def cut(self, count: int) -> None:
        for number in range(count, len(self._studies[0].trials)):
            del self._trial_id_to_study_id_and_number[number]
        del self._studies[0].trials[count:]
        self._max_trial_id = count - 1


class Mirror(Proposer):
    """One study in Optuna's terms. Its trials have our numbers, so Hyperband's brackets agree.

    A waiting or running trial is RUNNING there: the sampler knows that its result will come.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._distributions = {n: to_distribution(p) for n, p in self._space.parameters.items()}
        self._always = varying(self._space)
        self._notes: dict[int, tuple[Params, dict[str, object]]] = {}
        self._storage = _Storage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=study.name,
            direction="minimize" if study.spec.objective.mode == "min" else "maximize",
            pruner=_pruner(study.spec),
        )
        if isinstance(self._study.pruner, HyperbandPruner):
            self._study.pruner.prune(self._study, self._row(0, {}, RUNNING))  # draws its brackets
        self._seen: list[Trial] = []

    def _sampler(self, study: Study, seed: int, skip: int) -> BaseSampler:
        """Return Optuna's sampler for one proposal; see `Proposer._suggest`."""
        startup = study.spec.sampler.startup
        options = {} if startup is None else {"n_startup_trials": startup}
        return _Gp(self._always, seed=seed, warn_independent_sampling=False, **options)

    def _sync(self, study: Study, trials: Sequence[Trial]) -> None:
        self._storage.cut(len(trials))
        del self._seen[len(trials) :]
        for i, trial in enumerate(trials):
            if i == len(self._seen):
                self._seen.append(trial)
            elif self._seen[i] is trial:
                continue
            self._seen[i] = trial
            self._storage.lay(self._frozen(trial))

    def _assume(self, number: int, point: Point) -> None:
        self._storage.lay(self._row(number, point, RUNNING))

    def _suggest(self, study: Study, number: int, seed: int, skip: int) -> Point:
        """Ask the sampler and leave the trial in the mirror, as running."""
        self._study.sampler = self._sampler(study, seed, skip)
        point: Point = {}
        trial = self._study.ask()
        for key in self._space.active(point):
            value = trial._suggest(key, self._distributions[key])
            point[key] = from_optuna(self._space.parameters[key], value)
        return point

    def _keep(self, number: int, point: Point, *, suggested: bool) -> None:
        if suggested:
            self._notes[number] = (point, dict(self._storage.get_trial(number).system_attrs))
            return
        self._notes.pop(number, None)
        self._assume(number, point)

    def _drop(self, number: int) -> None:
        self._storage.cut(number)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        """Return a trial; one outside of a space that was changed since teaches nothing."""
        parameters = self._space.parameters
        if not all(parameters[n].contains(v) for n, v in trial.params.items()):
            return self._row(trial.number, {}, Result(OptunaState.FAIL))
        return self._row(trial.number, trial.params, result_of(trial))

    def _row(self, number: int, point: Params, result: Result) -> FrozenTrial:
        params, notes = self._notes.get(number, ({}, {}))
        return FrozenTrial(
            number=number,
            trial_id=number,
            state=result.state,
            value=result.value,
            datetime_start=None,
            datetime_complete=None,
            params={n: to_optuna(self._space.parameters[n], v) for n, v in point.items()},
            distributions={n: self._distributions[n] for n in point},
            user_attrs={},
            system_attrs=dict(notes) if params == point else {},
            intermediate_values={r.step: r.value for r in result.curve},
        )


class GpProposer(Mirror):
    """The Gaussian process."""

    tries = 3


class CmaEsProposer(Mirror):
    """CMA-ES. Its state lies in what it noted at earlier trials; replaying those wins it back."""

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._fresh = True

    def _sampler(self, study: Study, seed: int, skip: int) -> BaseSampler:
        startup = study.spec.sampler.startup
        options = {} if startup is None else {"n_startup_trials": startup}
        return _CmaEs(self._always, seed=seed, warn_independent_sampling=False, **options)

    def _sync(self, study: Study, trials: Sequence[Trial]) -> None:
        if self._fresh:
            self._replay(study, trials)
        self._fresh = False
        super()._sync(study, trials)

    def _replay(self, study: Study, trials: Sequence[Trial]) -> None:
        """Propose every sampled trial again, with what had ended when it was created."""
        under_way: list[Trial] = []
        for trial in trials:
            for other in [
                t for t in under_way if t.ended_at is not None and t.ended_at <= trial.created_at
            ]:
                under_way.remove(other)
                self._storage.lay(self._frozen(other))
            if trial.origin is Origin.SAMPLED:
                self._ask(study, trial.number)
                _, notes = self._notes.get(trial.number, ({}, {}))
                self._notes[trial.number] = (trial.params, notes)
            self._storage.cut(trial.number)
            running = trial.evolve(state=TrialState.RUNNING, outcome=None)
            self._storage.lay(self._frozen(running))
            under_way.append(trial)


def _pruner(spec: StudySpec) -> BasePruner:
    """Return Optuna's Hyperband for Hyperband, by whose brackets its samplers may part the trials.

    Those of Optuna 5.0 do not: they read `Study._get_trials`, which its bracket study leaves whole.
    """
    pruner = spec.pruner
    if not isinstance(pruner, HyperbandSpec) or pruner.min is None or pruner.max is None:
        return NopPruner()
    return HyperbandPruner(pruner.min, pruner.max, pruner.eta)
