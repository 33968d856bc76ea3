"""Studies of all kinds in Optuna's storages, and all that a storage tells of them."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

ODD = (1, 1.0, True, None, "é", math.nan, math.inf)


def seen(storage: BaseStorage) -> list[Any]:
    """Return all that a storage tells of its studies; NaN is equal to NaN here."""
    return [
        (
            vars(study) | {"user_attrs": ordered(study.user_attrs)},
            [_trial_seen(storage, t) for t in storage.get_all_trials(study._study_id)],
        )
        for study in storage.get_all_studies()
    ]


def _trial_seen(storage: BaseStorage, trial: FrozenTrial) -> dict[str, Any]:
    told: dict[str, Any] = told_of(trial)
    told["order"] = list(trial.params)
    told["internal"] = [storage.get_trial_param(trial._trial_id, name) for name in trial.params]
    return told


def ordered(found: dict[Any, Any]) -> list[str]:
    return sorted(f"{k!r}: {v!r}" for k, v in found.items())


def odd_objective(trial: optuna.Trial) -> tuple[float, float]:
    """Use distributions of all kinds, report odd values, and end in all ways."""
    x = trial.suggest_float("x", 1e-9, 1e9, log=True)
    trial.suggest_float("stepped", -0.3, 0.3, step=0.1)
    trial.suggest_int("n", -(2**40), 2**40)
    trial.suggest_int("log", 1, 1 << 20, log=True)
    trial.suggest_int("even", 0, 10, step=2)
    trial.suggest_categorical("odd", ODD)
    if trial.number % 2:
        trial.suggest_categorical("sometimes", ["only"])
    trial.set_user_attr("tuple", (1, [2, {"é": math.inf}]))
    trial.set_user_attr("tuple", (3, {4: None}))
    if trial.number % 5 == 3:
        raise optuna.TrialPruned
    if trial.number % 5 == 4:
        raise ValueError
    return x, math.inf if trial.number % 5 == 2 else -x


def curve_objective(trial: optuna.Trial) -> float:
    for step, value in enumerate([0.5, math.nan, math.inf, -math.inf, 1e-300]):
        trial.report(value, step * 7)
    if trial.number % 2:
        raise optuna.TrialPruned
    return trial.suggest_float("x", 0, 1)


def fill(storage: BaseStorage, prefix: str) -> None:
    """Put studies of all kinds into a storage."""
    several = optuna.create_study(
        storage=storage,
        study_name=f"{prefix}-several",
        directions=["minimize", "maximize"],
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    storage.set_study_system_attr(several._study_id, "study:metric_names", ["a", "b"])
    several.set_user_attr("note", {"é": [1, None, math.nan]})
    several.enqueue_trial({"x": 2.0, "n": 3}, user_attrs={"by": "hand"})
    several.optimize(odd_objective, n_trials=11, catch=(ValueError,))
    several.enqueue_trial({"x": 4.0})
    several.ask()
    single = optuna.create_study(
        storage=storage, study_name=f"{prefix}-single", direction="maximize"
    )
    single.optimize(curve_objective, n_trials=6)
    single.add_trial(
        optuna.create_trial(
            params={"x": 0.25}, value=3.5, intermediate_values={3: 1.5},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        )
    )  # fmt: skip
    optuna.create_study(storage=storage, study_name=f"{prefix}-empty")


def told_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's fields in a form that compares."""
    return {k: ordered(v) if isinstance(v, dict) else repr(v) for k, v in vars(trial).items()}
