"""A study's trials as columns, so that a proposal needs no walk over objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, count
from operator import is_not

import numpy as np
import numpy.typing as npt
from optuna.trial import TrialState as OptunaState

from api.sampling.terms import RUNNING, Result, result_of, to_distribution, to_optuna
from tuner.space import Categorical, Params, Space
from tuner.trial import Trial

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
_FEWEST = 64


def _still_runs(old: Trial, new: Trial) -> bool:
    """Tell whether a trial is as open as before, its reports aside."""
    return old.outcome is None and new.outcome is None and old.params is new.params


@dataclass(frozen=True, kw_only=True)
class Split:
    """The numbers of the better and of all other trials, each ascending."""

    below: Numbers
    above: Numbers


class History:
    """What TPE learns from: per trial its state, its rank among others, and its parameters.

    Guarantees: bringing in a trial costs the same however many there are.
    """

    def __init__(self, space: Space, *, maximize: bool) -> None:
        self._space = space
        self._sign = -1.0 if maximize else 1.0
        self._codes = {n: to_distribution(p).to_internal_repr for n, p in space.parameters.items()}
        self._rows = {name: i for i, name in enumerate(space.parameters)}
        self._seen: list[Trial | None] = []
        self._states = np.empty(_FEWEST, np.int8)
        self._steps = np.empty(_FEWEST)
        self._values = np.empty(_FEWEST)
        self._params = np.empty((len(self._rows), _FEWEST))

    @property
    def finished(self) -> int:
        """The number of trials that are complete or pruned."""
        return sum(len(self._numbers(s)) for s in (OptunaState.COMPLETE, OptunaState.PRUNED))

    def _numbers(self, state: OptunaState) -> Numbers:
        return np.flatnonzero(self._states[: len(self._seen)] == state)

    def follow(self, trials: Sequence[Trial]) -> None:
        """Hold these trials and no others."""
        del self._seen[len(trials) :]
        for number in list(compress(count(), map(is_not, self._seen, trials))):
            old, self._seen[number] = self._seen[number], trials[number]
            if old is None or not _still_runs(old, trials[number]):
                self._lay(number, trials[number])
        for number in range(len(self._seen), len(trials)):
            self._seen.append(trials[number])
            self._lay(number, trials[number])

    def lay_running(self, number: int, params: Params) -> None:
        """Hold a proposal as a running trial, the last one."""
        del self._seen[number:]
        self._seen.append(None)
        self._put(number, params, RUNNING)

    def _lay(self, number: int, trial: Trial) -> None:
        self._put(number, trial.params, result_of(trial))

    def _put(self, number: int, params: Params, result: Result) -> None:
        if number == len(self._states):
            self._grow()
        self._states[number] = result.state
        self._steps[number], self._values[number] = self._rank(result)
        self._params[:, number] = np.nan
        if self._is_gone(params):
            self._states[number] = OptunaState.FAIL
            return
        for name, value in params.items():
            given = to_optuna(self._space.parameters[name], value)
            self._params[self._rows[name], number] = self._codes[name](given)

    def _is_gone(self, params: Params) -> bool:
        """Tell whether a choice was taken from the space since, so that nothing can be learnt.

        A number outside of a range that was narrowed counts, as it does in Optuna's TPE.
        """
        known = self._space.parameters
        return any(
            isinstance(known[n], Categorical) and not known[n].contains(v)
            for n, v in params.items()
        )

    def _rank(self, result: Result) -> tuple[float, float]:
        """Return what orders trials of one state, the smallest first.

        As `_split_trials` of Optuna's TPE: complete ones by value; pruned ones by how far they
        came, then by the last value; those without a report come last.
        """
        if result.state is OptunaState.COMPLETE and result.value is not None:
            return 0.0, self._sign * result.value
        if not result.curve:
            return 1.0, 0.0
        step, value, *_ = result.curve[-1]
        return float(-step), math.inf if math.isnan(value) else self._sign * value

    def _grow(self) -> None:
        size = 2 * len(self._states)
        for name in ("_states", "_steps", "_values", "_params"):
            old = getattr(self, name)
            new = np.empty((*old.shape[:-1], size), old.dtype)
            new[..., : old.shape[-1]] = old
            setattr(self, name, new)

    def split(self, gamma: Callable[[int], int]) -> Split:
        """Part the trials as Optuna's TPE: the best complete, then pruned ones, and the rest.

        Args:
            gamma: gives, for the number of finished trials, how many are the better ones.
        """
        states = self._states[: len(self._seen)]
        complete, pruned = map(self._numbers, (OptunaState.COMPLETE, OptunaState.PRUNED))
        wanted = gamma(len(complete) + len(pruned))
        best = complete[np.argsort(self._values[complete], kind="stable")[:wanted]]
        if len(best) < wanted:
            order = np.lexsort((self._values[pruned], self._steps[pruned]))
            best = np.concatenate([best, pruned[order[: wanted - len(best)]]])
        below = np.zeros(len(states), bool)
        below[best] = True
        return Split(
            below=np.flatnonzero(below),
            above=np.flatnonzero((states != OptunaState.FAIL) & ~below),
        )

    def observed(self, numbers: Numbers, names: Mapping[str, object]) -> dict[str, Floats]:
        """Return the named parameters of those of the trials that have them all, in Optuna's code.

        Each is [trials], in the order of `numbers`.
        """
        found = {name: self._params[self._rows[name]][numbers] for name in names}
        present = ~np.isnan(np.array(list(found.values()))).any(axis=0)
        if present.all():
            return found
        return {name: values[present] for name, values in found.items()}
