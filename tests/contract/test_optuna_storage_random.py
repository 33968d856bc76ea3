"""Random calls: the ledger answers each as Optuna's own storage does, and stores the same."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from storage.optuna_storage import LedgerStorage
from tests.contract.optuna_studies import seen
from tests.contract.test_storage_optuna import optuna_storage
from tests.databases import lay_database

TIMES = {"_datetime_start", "datetime_complete"}
DISTRIBUTIONS: dict[str, tuple[BaseDistribution, ...]] = {
    "x": (FloatDistribution(0, 1), FloatDistribution(0, 2, log=False), IntDistribution(0, 1)),
    "kind": (CategoricalDistribution(("a", None)), CategoricalDistribution((1, True, 1.0))),
    "n": (IntDistribution(0, 9), IntDistribution(0, 9, step=3)),
}
MOVES = ("create_study", "create_trial", "create_trial", "template", "param", "param",
         "state", "report", "report", "attribute", "attribute", "delete_study")  # fmt: skip
NO_ID = 10_000
Call = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Study:
    """The study that was made as the `index`th."""

    index: int


@dataclass(frozen=True)
class Trial:
    """The trial that was made as the `index`th."""

    index: int


class Calls:
    """Draws calls of a storage, about studies and trials of which some exist.

    A parameter is set once: where it is set again, Optuna's own storage keeps the first, silently.
    """

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._params: set[tuple[Trial, str]] = set()
        self.made = {"create_new_study": 0, "create_new_trial": 0}
        """How many of them there were."""

    def next(self) -> Call:
        found: Call = getattr(self, f"_{self._rng.choice(MOVES)}")()
        return found

    def _study(self) -> Study:
        return Study(self._rng.randrange(self.made["create_new_study"] + 1))

    def _trial(self) -> Trial:
        return Trial(self._rng.randrange(self.made["create_new_trial"] + 1))

    def _value(self) -> float:
        return self._rng.choice([self._rng.random(), math.inf, -math.inf, 0.0, -1e300])

    def _json(self) -> Any:
        return self._rng.choice([None, math.nan, "é\0", [1, {"a": ()}], {"b": 1.5}, True])

    def _create_study(self) -> Call:
        directions = self._rng.choices(list(StudyDirection)[1:], k=self._rng.choice([1, 2]))
        return "create_new_study", (directions, self._rng.choice(["", "a", "b", "c", "d"]))

    def _delete_study(self) -> Call:
        if self._rng.random() < 0.9:
            return self._report()
        return "delete_study", (self._study(),)

    def _create_trial(self) -> Call:
        return "create_new_trial", (self._study(),)

    def _template(self) -> Call:
        state = self._rng.choice(list(TrialState))
        template = create_trial(
            state=state,
            values=[self._value()] if state is TrialState.COMPLETE else None,
            params={"t": 1},
            distributions={"t": self._rng.choice(DISTRIBUTIONS["x"])},
            intermediate_values={3: self._value(), 1: math.nan},
            user_attrs={"template": self._json()},
        )
        return "create_new_trial", (self._study(), template)

    def _param(self) -> Call:
        name, trial = self._rng.choice(list(DISTRIBUTIONS)), self._trial()
        if (trial, name) in self._params:
            return self._report()
        self._params.add((trial, name))
        value = float(self._rng.choice([0, 1]))
        return "set_trial_param", (trial, name, value, self._rng.choice(DISTRIBUTIONS[name]))

    def _state(self) -> Call:
        state = self._rng.choice(list(TrialState))
        values = [self._value()] if state is TrialState.COMPLETE else None
        return "set_trial_state_values", (self._trial(), state, values)

    def _report(self) -> Call:
        value = self._rng.choice([self._value(), math.nan])
        return "set_trial_intermediate_value", (self._trial(), self._rng.randrange(5), value)

    def _attribute(self) -> Call:
        of, kind = self._rng.choice(["study", "trial"]), self._rng.choice(["user", "system"])
        owner = self._study() if of == "study" else self._trial()
        return f"set_{of}_{kind}_attr", (owner, self._rng.choice(["a", "b"]), self._json())


class Side:
    """A storage, and the ids it gave: Optuna's own gives those of deleted rows away again."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage
        self._ids: dict[type, list[int]] = {Study: [], Trial: []}

    def answer(self, call: Call) -> Any:
        """Return a call's result, ids by their index; or its error's type."""
        name, arguments = call
        try:
            found = getattr(self.storage, name)(*(self._resolve(a) for a in arguments))
        except Exception as exc:
            return type(exc)
        if not name.startswith("create"):
            return found
        ids = self._ids[Study if name == "create_new_study" else Trial]
        ids.append(found)
        return len(ids)

    def _resolve(self, argument: Any) -> Any:
        if not isinstance(argument, Study | Trial):
            return argument
        ids = self._ids[type(argument)]
        known = argument.index < len(ids) and ids[argument.index] not in ids[argument.index + 1 :]
        return ids[argument.index] if known else NO_ID

    def told(self) -> list[Any]:
        """Return all but ids, and when things happened but for whether they did."""
        told = [
            (
                {k: v for k, v in study.items() if k != "_study_id"},
                [
                    {k: v == "None" if k in TIMES else v for k, v in t.items() if k != "_trial_id"}
                    for t in trials
                ],
            )
            for study, trials in seen(self.storage)
        ]
        return sorted(told, key=repr)


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[BaseStorage]:
    with optuna_storage(lay_database(tmp_path / "theirs.db")) as storage:
        yield storage


@pytest.mark.parametrize("seed", range(3))
def test_calls_are_answered_as_optuna_does(
    url: str, storage: LedgerStorage, theirs: BaseStorage, seed: int
) -> None:
    calls, answers = Calls(seed), []
    ledger, optunas = Side(storage), Side(theirs)
    for _ in range(200):
        call = calls.next()
        answers.append(ledger.answer(call))
        assert answers[-1] == optunas.answer(call), call
        if isinstance(answers[-1], int) and call[0] in calls.made:
            calls.made[call[0]] = answers[-1]
    assert {KeyError, ValueError, DuplicatedStudyError, UpdateFinishedTrialError} <= set(answers)
    assert ledger.told() == optunas.told()
    with optuna_storage(url) as plain:
        assert seen(plain) == seen(storage)
