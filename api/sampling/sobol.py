"""Quasi-random points: a scrambled Sobol sequence of Optuna's `QMCSampler`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler

from api.sampling.history import Floats
from api.sampling.proposer import Needs, Proposer
from api.sampling.terms import Point, from_optuna, varying
from api.sampling.uniform import Uniform
from tuner.space import Params
from tuner.study import Study
from tuner.trial import Origin, Trial

if TYPE_CHECKING:
    from scipy.stats.qmc import Sobol


class _Qmc(QMCSampler):
    """Optuna's sampler, asked for points of the sequence by their position."""

    def __init__(self, seed: int) -> None:
        # The class warns that it is experimental; catching warnings is not safe in threads.
        inspect.unwrap(QMCSampler.__init__)(self, scramble=True, seed=seed)
        self._engine: Sobol | None = None
        self._position = 0

    def values(self, distributions: dict[str, BaseDistribution], position: int) -> dict[str, Any]:
        """Return the values at a position, from 0 on."""
        self._position = position
        nobody = cast("Any", None)
        return self.sample_relative(nobody, nobody, distributions) if distributions else {}

    def _sample_qmc(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> Floats:
        """Return one point, [1, parameters]; the engine is kept, since positions mostly follow."""
        if self._engine is None:
            # A third of what the server's start would take, for a sampler that few studies use.
            from scipy.stats.qmc import Sobol

            self._engine = Sobol(len(search_space), scramble=True, seed=self._seed)
        if self._position < self._engine.num_generated:
            self._engine.reset()
        if (ahead := self._position - self._engine.num_generated) > 0:
            self._engine.fast_forward(ahead)
        return self._engine.random(1)


class SobolProposer(Proposer):
    """Walks along the sequence; a trial's position is the one after those of the trials before it.

    What is not in every trial is drawn as by `RandomSampler`. After a restart the positions are won
    back by proposing the sampled trials again.
    """

    needs = Needs.POINTS

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._always = varying(self._space)
        self._uniform = Uniform(self._space)
        self._rng = np.random.RandomState(0)
        self._sampler = _Qmc(study.spec.sampler.seed)
        self._position = 0
        self._made: dict[int, tuple[Params, int]] = {}
        self._highest: list[int] = []
        """For each trial, the highest position that it and those before it have."""
        self._known = 0

    def _sync(self, study: Study, trials: Sequence[Trial]) -> None:
        self._known = min(self._known, len(trials))
        del self._highest[self._known :]
        for trial in trials[self._known :]:
            self._take(trial.number, self._position_of(study, trial))
        self._known = len(trials)

    def _assume(self, number: int, point: Point) -> None:
        made, position = self._made.get(number, ({}, -1))
        self._take(number, position if made == point else -1)

    def _position_of(self, study: Study, trial: Trial) -> int:
        """Return the position of a trial, -1 if its point is not of the sequence."""
        if trial.number not in self._made and trial.origin is Origin.SAMPLED:
            self._ask(study, trial.number)
            return self._made.pop(trial.number)[1]
        point, position = self._made.pop(trial.number, ({}, -1))
        return position if point == trial.params else -1

    def _take(self, number: int, position: int) -> None:
        before = self._highest[number - 1] if number else -1
        self._highest[number:] = [max(before, position)]

    def _suggest(self, study: Study, number: int, seed: int, skip: int) -> Point:
        self._position = 1 + (self._highest[number - 1] if number else -1) + skip
        self._rng.seed(seed)
        found = self._sampler.values(self._always, self._position)
        parameters = self._space.parameters
        given = {n: from_optuna(parameters[n], v) for n, v in found.items()}
        return self._uniform.complete(given, self._rng)

    def _keep(self, number: int, point: Point, *, suggested: bool) -> None:
        position = self._position if suggested else -1
        self._made[number] = (point, position)
        self._take(number, position)
