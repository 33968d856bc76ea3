"""Pruning against Optuna's pruners on asynchronous studies; by hand in `test_policies_rungs`."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.trial import TrialState

from tests.unit.histories import History, contest, is_storable
from tuner import spec
from tuner.decision import Outcome
from tuner.policies import pruning
from tuner.policies.base import Verdict
from tuner.trial import Report, RungMark

Mode = Literal["min", "max"]
pytestmark = pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")  # Optuna's, on NaN alone
MODES: tuple[Mode, ...] = ("min", "max")
LONGEST = 40


@pytest.fixture(autouse=True)
def _quiet_optuna() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


class Simulation:
    """One study, run by Optuna's pruner and by ours side by side, some trials at a time.

    Each report is judged by both; the outcome of a trial follows from them.
    """

    def __init__(self, ours: spec.Pruner, optunas: BasePruner, mode: Mode, seed: int) -> None:
        self.ours, self.mode, self.rng = ours, mode, random.Random(seed)
        self.study = optuna.create_study(
            direction="minimize" if mode == "min" else "maximize",
            study_name=f"simulated-{seed}",
            pruner=optunas,
            sampler=optuna.samplers.RandomSampler(seed=seed),
        )
        self.peers = History()
        self.lineage: dict[int, list[Report]] = {}
        self.marks: dict[int, tuple[RungMark, ...]] = {}
        self.level: dict[int, float] = {}
        self.seen: Counter[str] = Counter()

    def run(self, trials: int, parallel: int = 5) -> Counter[str]:
        live: list[optuna.Trial] = []
        while live or trials:
            if trials and len(live) < parallel:
                live.append(self._start())
                trials -= 1
            trial = self.rng.choice(live)
            if not self._report(trial):
                live.remove(trial)
        return self.seen

    def _start(self) -> optuna.Trial:
        trial = self.study.ask()
        self.lineage[trial.number], self.marks[trial.number] = [], ()
        self.level[trial.number] = self.rng.gauss(0, 1)
        self.seen["trials"] += 1
        return trial

    def _report(self, trial: optuna.Trial) -> bool:
        reports = self.lineage[trial.number]
        step = (reports[-1].step if reports else 0) + self.rng.choice([1, 1, 1, 2, 5])
        if step >= LONGEST:
            self._complete(trial)
            return False
        value = self._value(trial.number, step)
        reports.append(Report(step, value, 1.0))
        trial.report(value, step)
        verdict = self._judge(trial.number)
        assert (verdict.stop is Outcome.PRUNED) == trial.should_prune()
        self.seen["decisions"] += 1
        if verdict.stop is None:
            return True
        self.seen["pruned"] += 1
        self.study.tell(trial, state=TrialState.PRUNED)
        return False

    def _judge(self, number: int) -> Verdict:
        asked = contest(
            self.lineage[number],
            self.peers,
            mode=self.mode,
            number=number,
            marks=self.marks[number],
            study_name=self.study.study_name,
        )
        verdict = pruning.judge(self.ours, asked)
        self.peers.add(verdict.marks)
        self.marks[number] += verdict.marks
        self.seen["marks"] += len(verdict.marks)
        assert all(is_storable(r.data) for r in verdict.records)
        return verdict

    def _value(self, number: int, step: int) -> float:
        # Coarse values make ties; a few are not numbers; trials differ more with every step.
        if self.rng.random() < 0.01:
            return math.nan
        drift = self.level[number] * math.log(step) * (-1 if self.mode == "min" else 1)
        return round(drift + self.rng.gauss(0, 0.3), 1)

    def _complete(self, trial: optuna.Trial) -> None:
        self.peers.complete.append({r.step: r.value for r in self.lineage[trial.number]})
        self.study.tell(trial, 0.0)
        self.seen["complete"] += 1


def asha(**settings: Any) -> spec.AshaPruner:
    return spec.AshaPruner(name="asha", **settings)


@pytest.mark.parametrize(("mode", "eta", "first"), list(product(MODES, (2, 3, 4), (1, 4))), ids=str)
def test_asha_decides_as_optuna(mode: Mode, eta: int, first: int) -> None:
    theirs = SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta)
    ours = asha(min=first, max=LONGEST, eta=eta)
    seen = Simulation(ours, theirs, mode, seed=eta * 10 + first).run(120)
    assert min(seen["pruned"], seen["complete"]) > 0
    assert seen["marks"] > 120


@pytest.mark.parametrize(("mode", "eta", "first"), list(product(MODES, (2, 3), (1, 3))), ids=str)
def test_hyperband_decides_as_optuna(mode: Mode, eta: int, first: int) -> None:
    theirs = HyperbandPruner(min_resource=first, max_resource=LONGEST, reduction_factor=eta)
    ours = spec.HyperbandPruner(name="hyperband", min=first, max=LONGEST, eta=eta)
    seen = Simulation(ours, theirs, mode, seed=eta * 10 + first).run(120)
    assert min(seen["pruned"], seen["complete"]) > 0


@pytest.mark.parametrize("ratio", [1, 2, 3, 9, 26, 27, 28, 125, 243, 1000])
@pytest.mark.parametrize("eta", [2, 3, 5, 10])
def test_brackets_are_drawn_as_by_optuna(ratio: int, eta: int) -> None:
    theirs = HyperbandPruner(min_resource=1, max_resource=ratio, reduction_factor=eta)
    study = optuna.create_study(study_name="brackets", pruner=theirs)
    theirs._try_initialization(study)
    ours = spec.HyperbandPruner(name="hyperband", min=1, max=ratio, eta=eta)
    for number in range(40):
        frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
        frozen.number = number
        expected = theirs._get_bracket_id(study, frozen)
        assert pruning.bracket_of(ours, "brackets", number) == expected


@pytest.mark.parametrize(
    ("mode", "startup", "warmup", "interval"),
    list(product(MODES, (0, 1, 5), (0, 4), (1, 5))),
    ids=str,
)
def test_median_decides_as_optuna(mode: Mode, startup: int, warmup: int, interval: int) -> None:
    theirs = MedianPruner(startup, warmup, interval)
    ours = spec.MedianPruner(name="median", startup=startup, warmup=warmup, interval=interval)
    seen = Simulation(ours, theirs, mode, seed=startup * 100 + warmup * 10 + interval).run(80)
    assert min(seen["pruned"], seen["complete"]) > 0


@pytest.mark.parametrize(
    ("mode", "percentile"), list(product(MODES, (0.0, 10.0, 25.0, 66.6, 100.0))), ids=str
)
def test_percentile_decides_as_optuna(mode: Mode, percentile: float) -> None:
    theirs = PercentilePruner(percentile, n_startup_trials=2)
    ours = spec.PercentilePruner(name="percentile", percentile=percentile, startup=2)
    seen = Simulation(ours, theirs, mode, seed=int(percentile)).run(80)
    assert seen["complete"] > 0
    assert seen["decisions"] > 100


def test_percentiles_equal_numpy_to_the_last_bit() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        values = [rng.gauss(0, 10) for _ in range(rng.randint(1, 12))]
        percent = rng.choice([0.0, 25.0, 50.0, 100.0, rng.uniform(0, 100)])
        assert pruning.percentile(sorted(values), percent) == float(
            np.nanpercentile(values, percent)
        )
