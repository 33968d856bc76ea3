"""Optuna's own suite for storages, and its samplers and pruners, on every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
import pytest
from optuna import pruners, samplers
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState

from storage.optuna_storage import LedgerStorage

GRID: dict[str, Sequence[str | float]] = {"x": [-1.0, 0.0, 1.0], "n": [1, 2], "kind": ["a", "b"]}
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "tpe": lambda: samplers.TPESampler(n_startup_trials=3, seed=1),
    "random": lambda: samplers.RandomSampler(seed=1),
    "cmaes": lambda: samplers.CmaEsSampler(n_startup_trials=2, seed=1),
    "gp": lambda: samplers.GPSampler(n_startup_trials=4, seed=1),
    "qmc": lambda: samplers.QMCSampler(seed=1),
    "grid": lambda: samplers.GridSampler(GRID, seed=1),
    "nsgaii": lambda: samplers.NSGAIISampler(population_size=3, seed=1),
    "nsgaiii": lambda: samplers.NSGAIIISampler(population_size=3, seed=1),
    "partially fixed": lambda: samplers.PartialFixedSampler(
        {"x": 0.5}, samplers.TPESampler(n_startup_trials=3, seed=1)
    ),
    "bruteforce": lambda: samplers.BruteForceSampler(seed=1),
}
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": lambda: pruners.MedianPruner(n_startup_trials=2),
    "percentile": lambda: pruners.PercentilePruner(25, n_startup_trials=2),
    "asha": pruners.SuccessiveHalvingPruner,
    "hyperband": lambda: pruners.HyperbandPruner(max_resource=6),
    "threshold": lambda: pruners.ThresholdPruner(upper=6),
    "patient": lambda: pruners.PatientPruner(pruners.MedianPruner(n_startup_trials=2), 1),
    "wilcoxon": pruners.WilcoxonPruner,
    "nop": pruners.NopPruner,
}


class TestLedgerStorage(StorageTestCase):
    pass


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -3, 3, step=0.5)
    n = trial.suggest_int("n", 1, 5)
    trial.suggest_categorical("kind", ["a", "b"])
    for step in range(6):
        trial.report(x * x + n + step / 10, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x * x + n


def run(study: optuna.Study, trials: int) -> list[tuple[object, ...]]:
    study.optimize(objective, n_trials=trials)
    return [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in study.trials]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_proposes_what_it_does_in_optunas_memory(
    storage: LedgerStorage, name: str
) -> None:
    runs = [
        run(optuna.create_study(storage=s, sampler=SAMPLERS[name](), study_name="s"), 8)
        for s in (storage, optuna.storages.InMemoryStorage())
    ]
    assert len(runs[0]) == 8
    assert runs[0] == runs[1]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_decides_as_it_does_in_optunas_memory(storage: LedgerStorage, name: str) -> None:
    runs = []
    for s in (storage, optuna.storages.InMemoryStorage()):
        sampler = samplers.RandomSampler(seed=2)
        study = optuna.create_study(
            storage=s, sampler=sampler, pruner=PRUNERS[name](), study_name="s"
        )
        runs.append(run(study, 12))
    assert runs[0] == runs[1]
    assert any(state is TrialState.PRUNED for _, state, *_ in runs[0]) == (name != "nop")
