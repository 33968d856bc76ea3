"""What proposes points, and the two kinds that need no results: random and grid."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence
from enum import IntEnum
from itertools import islice
from typing import ClassVar

import numpy as np

from api.sampling.points import MAX_GRID, feasible, grid
from api.sampling.terms import Point
from api.sampling.uniform import Uniform
from tuner.constraints import Constraint
from tuner.errors import InvalidInput
from tuner.space import Params, Space
from tuner.study import Study
from tuner.trial import Trial, trial_seed

TRIES = 20
"""Proposals asked of a sampler before feasible points are drawn at random."""

_log = logging.getLogger(__name__)


class Needs(IntEnum):
    """What of the trials before it a proposal is made from, besides its number."""

    NOTHING = 0
    POINTS = 1
    RESULTS = 2


class Proposer:
    """Proposes the points of one study.

    Guarantees: a proposal is a function of the study's document, of the trial's number and of what
    it `needs`; proposals that were not used leave no trace. May be called from any thread.
    """

    needs: ClassVar[Needs] = Needs.RESULTS
    tries: ClassVar[int] = TRIES

    def __init__(self, study: Study) -> None:
        self._space = study.space
        self._made_for = study.spec.space
        self._lock = threading.Lock()

    def serves(self, study: Study) -> bool:
        """Tell whether this was made for the space that the study has now."""
        return self._made_for is study.spec.space or self._made_for == study.spec.space

    def propose(
        self,
        study: Study,
        number: int,
        trials: Sequence[Trial],
        count: int = 1,
        ahead: Sequence[Point] = (),
    ) -> list[Point]:
        """Return points for the next `count` trials; fewer if there are no more.

        Args:
            study: the one this was made for, as it is now.
            number: how many trials the study has.
            trials: those, in order; may be left out if none are needed.
            count: how many points.
            ahead: points proposed before for the trials from `number` on; `count` come after them.

        Raises:
            InvalidInput: the constraints leave nothing.
        """
        with self._lock:
            self._sync(study, trials)
            for i, point in enumerate(ahead):
                self._assume(number + i, point)
            first = number + len(ahead)
            return [self._ask(study, first + i) for i in range(count)]

    def _sync(self, study: Study, trials: Sequence[Trial]) -> None:
        """Take in all trials, and forget what was proposed after them."""

    def _assume(self, number: int, point: Point) -> None:
        """Take in a point proposed before as that of a running trial."""

    def _suggest(self, study: Study, number: int, seed: int, skip: int) -> Point:
        """Propose one point, the constraints left aside.

        Args:
            study: the study as it is now.
            number: of the trial to propose.
            seed: of this proposal alone.
            skip: proposals made for the same trial before, all refused.
        """
        raise NotImplementedError

    def _keep(self, number: int, point: Point, *, suggested: bool) -> None:
        """Let the proposals after this one know that its trial will run."""

    def _drop(self, number: int) -> None:
        """Forget a suggestion that was refused or that failed half way."""

    def _ask(self, study: Study, number: int) -> Point:
        seed = trial_seed(study.spec.sampler.seed, number)
        for i in range(self.tries if study.constraints else 1):
            point = self._try(study, number, trial_seed(seed, i), i)
            if point is not None and study.allows(point):
                self._keep(number, point, suggested=True)
                return point
            self._drop(number)
        point = feasible(self._space, study.constraints, seed)
        self._keep(number, point, suggested=False)
        return point

    def _try(self, study: Study, number: int, seed: int, skip: int) -> Point | None:
        """Suggest; None if that fails, as Gaussian processes and CMA-ES may numerically."""
        try:
            return self._suggest(study, number, seed, skip)
        except Exception:
            _log.exception("the sampler of %r failed; a point is drawn at random", study.name)
            return None


class RandomProposer(Proposer):
    """Draws as Optuna's `RandomSampler` does, seeded for each trial."""

    needs = Needs.NOTHING

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._uniform = Uniform(study.space)
        self._rng = np.random.RandomState(0)

    def _suggest(self, study: Study, number: int, seed: int, skip: int) -> Point:
        self._rng.seed(seed)
        return self._uniform.complete({}, self._rng)


class GridProposer(Proposer):
    """Walks over all points of a finite space once, in an order drawn from the seed."""

    needs = Needs.POINTS

    def __init__(self, study: Study) -> None:
        super().__init__(study)
        self._points = grid_points(study.space, study.constraints)
        random.Random(study.spec.sampler.seed).shuffle(self._points)
        self._keys = [_key(p) for p in self._points]
        self._restart()

    def _restart(self) -> None:
        self._used: set[object] = set()
        self._known = 0
        self._first = 0

    def propose(
        self,
        study: Study,
        number: int,
        trials: Sequence[Trial],
        count: int = 1,
        ahead: Sequence[Point] = (),
    ) -> list[Point]:
        """Return the next points that no trial has; fewer at the end of the grid."""
        with self._lock:
            self._sync(study, trials)
            assumed = {_key(p) for p in ahead}
            rest = ((i, self._keys[i]) for i in range(self._first, len(self._keys)))
            free = (i for i, k in rest if k not in self._used and k not in assumed)
            return [self._points[i] for i in islice(free, count)]

    def _sync(self, study: Study, trials: Sequence[Trial]) -> None:
        if len(trials) < self._known:
            self._restart()
        self._used.update(_key(t.params) for t in trials[self._known :])
        self._known = len(trials)
        while self._first < len(self._keys) and self._keys[self._first] in self._used:
            self._first += 1


def _key(params: Params) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(params.items()))


def grid_points(space: Space, constraints: Sequence[Constraint]) -> list[Point]:
    """Return all points of a finite space that meet the constraints.

    Raises:
        InvalidInput: there are none, or too many.
    """
    points = list(islice(grid(space), MAX_GRID + 1))
    if len(points) > MAX_GRID:
        raise InvalidInput(f"the grid sampler takes spaces of at most {MAX_GRID} points")
    allowed = [p for p in points if all(c.holds(p) for c in constraints)]
    if not allowed:
        raise InvalidInput("no point of the grid meets the constraints")
    return allowed
