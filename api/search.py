"""Proposing parameters: one mirror of each live study in Optuna's terms, and its sampler."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import islice

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from api.samplers import DRAWS, MAX_GRID, draw, from_optuna, grid, make, to_distribution, to_optuna
from tuner.constraints import Constraint
from tuner.constraints import parse as parse_constraint
from tuner.decision import Outcome
from tuner.errors import InvalidInput
from tuner.handle import ParamValue
from tuner.space import Params, Space
from tuner.spec import HyperbandPruner as HyperbandSpec
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState, trial_seed

Point = dict[str, ParamValue]
TRIES = 20
"""Proposals asked of a sampler before feasible points are drawn at random."""
TRIES_OF = {"gp": 3}
REPLAYED = frozenset({"cmaes", "qmc"})
"""Samplers whose state lies in what they noted at earlier trials."""

_log = logging.getLogger(__name__)
_STATES = {
    Outcome.COMPLETE: OptunaState.COMPLETE,
    Outcome.CONVERGED: OptunaState.COMPLETE,
    Outcome.PRUNED: OptunaState.PRUNED,
    Outcome.DIVERGED: OptunaState.PRUNED,
}
_NOTHING = "no point of the space was found that meets the constraints"


def check(spec: StudySpec) -> None:
    """Refuse a document whose sampler could propose nothing. May take a second.

    Raises:
        InvalidInput: grid over an infinite or too large space, gp without torch, or constraints
            that leave nothing.
    """
    space = spec.build_space()
    constraints = [parse_constraint(text, space.parameters) for text in spec.constraints]
    if spec.sampler.name == "gp" and find_spec("torch") is None:
        raise InvalidInput("the gp sampler needs torch on the server: pip install 'tuner[torch]'")
    if spec.sampler.name == "grid":
        _grid_points(space, constraints)
    else:
        _draw(space, constraints, spec.sampler.seed)


def _grid_points(space: Space, constraints: Sequence[Constraint]) -> list[Point]:
    points = list(islice(grid(space), MAX_GRID + 1))
    if len(points) > MAX_GRID:
        raise InvalidInput(f"the grid sampler takes spaces of at most {MAX_GRID} points")
    feasible = [p for p in points if all(c.holds(p) for c in constraints)]
    if not feasible:
        raise InvalidInput("no point of the grid meets the constraints")
    return feasible


def _draw(space: Space, constraints: Sequence[Constraint], seed: int) -> Point:
    rng = random.Random(seed)
    for _ in range(DRAWS):
        point = draw(space, rng)
        if all(c.holds(point) for c in constraints):
            return point
    raise InvalidInput(f"{_NOTHING} in {DRAWS} draws")


class Search:
    """The samplers of all live studies.

    Guarantees: a proposal is a function of the study's document, its trials and the trial's number,
    the same after a restart if one trial runs at a time. CMA-ES and QMC note their state at earlier
    trials; it is won back by replaying those.
    """

    def __init__(self) -> None:
        self._mirrors: dict[int, _Mirror] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="search")

    def lock(self, study_id: int) -> asyncio.Lock:
        """Return the lock to hold from a proposal to the commit of its trial."""
        return self._locks.setdefault(study_id, asyncio.Lock())

    async def propose(self, study: Study, trials: Sequence[Trial], count: int = 1) -> list[Point]:
        """Return parameters for the next `count` trials; fewer if the grid has no more points.

        Hold the study's lock. `trials` are all of the study's, in order of number.

        Raises:
            InvalidInput: the constraints leave nothing.
        """
        mirror = self._mirrors.get(study.study_id)
        if mirror is None:
            mirror = self._mirrors[study.study_id] = _Mirror(study)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, mirror.propose, study, trials, count)

    def keep(self, study_ids: Collection[int]) -> None:
        """Forget the mirrors of all other studies."""
        for study_id in [k for k in self._mirrors if k not in study_ids]:
            self._mirrors.pop(study_id)
        for study_id in [k for k, v in self._locks.items() if not v.locked()]:
            if study_id not in study_ids:
                self._locks.pop(study_id)

    def close(self) -> None:
        """Let go of the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)


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


class _Mirror:
    """One study in Optuna's terms. Its trials have our numbers, so Hyperband's brackets agree.

    A waiting or running trial is RUNNING there: the sampler knows that its result will come.
    """

    def __init__(self, study: Study) -> None:
        self._lock = threading.Lock()
        self._space = study.space
        self._distributions = {n: to_distribution(p) for n, p in self._space.parameters.items()}
        self._always = {
            n: d
            for n, d in self._distributions.items()
            if not self._space.parameters[n].when and not d.single()
        }
        self._notes: dict[int, tuple[Params, dict[str, object]]] = {}
        self._storage = _Storage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=study.name,
            direction="minimize" if study.spec.objective.mode == "min" else "maximize",
            pruner=_pruner(study.spec),
        )
        if isinstance(self._study.pruner, HyperbandPruner):
            self._study.pruner.prune(self._study, self._running(0, {}))  # lets it draw brackets
        self._seen: list[Trial] = []
        self._grid: list[Point] | None = None
        self._fresh = True

    def propose(self, study: Study, trials: Sequence[Trial], count: int) -> list[Point]:
        with self._lock:
            if study.spec.sampler.name == "grid":
                return self._next_of_grid(study, trials, count)
            if self._fresh and study.spec.sampler.name in REPLAYED:
                self._replay(study, trials)
            self._fresh = False
            self._sync(trials)
            return [self._ask(study, len(trials) + i) for i in range(count)]

    def _next_of_grid(self, study: Study, trials: Sequence[Trial], count: int) -> list[Point]:
        if self._grid is None:
            self._grid = _grid_points(self._space, study.constraints)
            random.Random(study.spec.sampler.seed).shuffle(self._grid)
        used = {tuple(sorted(t.params.items())) for t in trials}
        new = (p for p in self._grid if tuple(sorted(p.items())) not in used)
        return list(islice(new, count))

    def _sync(self, trials: Sequence[Trial]) -> None:
        self._storage.cut(len(trials))
        del self._seen[len(trials) :]
        for i, trial in enumerate(trials):
            if i == len(self._seen):
                self._seen.append(trial)
            elif self._seen[i] is trial:
                continue
            self._seen[i] = trial
            self._storage.lay(self._frozen(trial))

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

    def _ask(self, study: Study, number: int) -> Point:
        """Propose one point and leave it in the mirror as running."""
        spec = study.spec.sampler
        seed = trial_seed(spec.seed, number)
        for i in range(TRIES_OF.get(spec.name, TRIES) if study.constraints else 1):
            self._study.sampler = make(spec, self._always, trial_seed(seed, i), skip=i)
            point = self._suggest(study.name)
            if point is not None and study.allows(point):
                self._notes[number] = (point, dict(self._storage.get_trial(number).system_attrs))
                return point
            self._storage.cut(number)
        point = _draw(self._space, study.constraints, seed)
        self._notes.pop(number, None)
        self._storage.create_new_trial(0, self._running(number, point))
        return point

    def _suggest(self, name: str) -> Point | None:
        """Ask the sampler; None if it fails, as Gaussian processes and CMA-ES may numerically."""
        point: Point = {}
        try:
            trial = self._study.ask()
            for key in self._space.active(point):
                value = trial._suggest(key, self._distributions[key])
                point[key] = from_optuna(self._space.parameters[key], value)
        except Exception:
            _log.exception("the sampler of %r failed; a point is drawn at random", name)
            return None
        return point

    def _running(self, number: int, point: Params) -> FrozenTrial:
        return self._row(number, point, OptunaState.RUNNING, None, {})

    def _frozen(self, trial: Trial) -> FrozenTrial:
        if trial.state is not TrialState.ENDED or trial.outcome is None:
            return self._running(trial.number, trial.params)
        state = _STATES.get(trial.outcome, OptunaState.FAIL)
        value = trial.value if state is OptunaState.COMPLETE else None
        if state is OptunaState.COMPLETE and value is None:
            state = OptunaState.FAIL
        curve = {r.step: r.value for r in trial.reports}
        if trial.outcome is Outcome.DIVERGED:
            curve = {}
        return self._row(trial.number, trial.params, state, value, curve)

    def _row(
        self,
        number: int,
        point: Params,
        state: OptunaState,
        value: float | None,
        curve: dict[int, float],
    ) -> FrozenTrial:
        params, notes = self._notes.get(number, ({}, {}))
        return FrozenTrial(
            number=number,
            trial_id=number,
            state=state,
            value=value,
            datetime_start=None,
            datetime_complete=None,
            params={n: to_optuna(self._space.parameters[n], v) for n, v in point.items()},
            distributions={n: self._distributions[n] for n in point},
            user_attrs={},
            system_attrs=dict(notes) if params == point else {},
            intermediate_values=curve,
        )


def _pruner(spec: StudySpec) -> BasePruner:
    """Return Optuna's Hyperband for Hyperband, by whose brackets its samplers may part the trials.

    Those of Optuna 5.0 do not: they read `Study._get_trials`, which its bracket study leaves whole.
    """
    pruner = spec.pruner
    if not isinstance(pruner, HyperbandSpec) or pruner.min is None or pruner.max is None:
        return NopPruner()
    return HyperbandPruner(pruner.min, pruner.max, pruner.eta)
