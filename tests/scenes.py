"""Studies worth looking at, told over the API by trainings that are made up.

For pictures of the dashboard and for tests of its pages.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from tuner import Client
from tuner.client.study import StudyHandle
from tuner.client.trial import LeasedTrial
from tuner.handle import ParamValue

SPACE = {
    "lr": {"min": 1e-4, "max": 1.0, "log": True},
    "batch_size": {"values": [16, 32, 64, 128]},
    "dropout": {"min": 0.0, "max": 0.7},
    "optimizer": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.8, "max": 0.99, "when": {"optimizer": "sgd"}},
}
FAILURE = "CUDA error: an illegal memory access was encountered"


def document(name: str, **changes: Any) -> dict[str, Any]:
    """Return a study whose trials the caller trains; with `changes` of its keys."""
    return {
        "name": name,
        "objective": {"metric": "val_loss", "mode": "min"},
        "space": SPACE,
        "sampler": {"name": "tpe", "seed": 0},
        "pruner": {"name": "asha", "min": 3, "max": 27, "eta": 3},
        "policies": [
            {"name": "halve_on_plateau", "factor": 0.5, "patience": 2, "min_lr": 1e-7},
            {"name": "divergence"},
        ],
        "budget": {"trials": 40, "steps": 27, "parallel": 4, "max_failures": 20},
        "run": "external",
        **changes,
    }


def loss(params: Mapping[str, ParamValue], step: int, lr_factor: float, noise: float) -> float:
    """Return a made-up loss that falls, soon or late, settles, and settles lower at a lower rate.

    It runs away where the rate is large. `noise` is a draw of the standard normal distribution.
    """
    rate = math.log10(float(params["lr"]))
    final = 0.06 + 0.1 * (rate + 2.2) ** 2 + 0.4 * (float(params["dropout"]) - 0.25) ** 2
    final += 0.04 * math.sqrt(lr_factor)
    if float(params["lr"]) > 0.45 and step > 3:
        return 10.0 ** (step - 2) if step < 7 else math.nan
    pace = 2.0 + 1.5 * abs(rate + 1.5)
    return max(1e-3, final + 2.2 * math.exp(-step / pace) + 0.01 * noise * (1 + final))


def train(trial: LeasedTrial, *, steps: int, maximise: bool = False) -> None:
    """Report `steps` steps of a trial, or until it is told to stop; every eleventh fails."""
    rng = random.Random(trial.number)
    if trial.number % 11 == 10:
        trial.fail(FAILURE, retry=False)
        return
    for step in range(1, steps + 1):
        value = loss(trial.params, step, trial.lr_factor, rng.gauss(0, 1))
        metrics = {"train_loss": 0.8 * value, "grad_norm": 1 / step}
        decision = trial.report(step, 1 - value if maximise else value, metrics=metrics)
        if decision.action == "stop":
            return


def search(client: Client, study: StudyHandle, *, trials: int, steps: int = 27) -> None:
    """Run so many trials of a study to their ends, one after the other."""
    maximise = study.view.spec["objective"]["mode"] == "max"
    for _ in range(trials):
        with client.ask(study.id, record=False) as trial:
            train(trial, steps=steps, maximise=maximise)
