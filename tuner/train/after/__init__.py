"""What follows a search: trainings of its best configurations, and what they say together.

Members are trained again rather than read from checkpoints: a training is deterministic by its
parameters, seed and levels of the rate, its best weights are in no checkpoint that a study is bound
to keep, and the data doctor's networks see other rows than any trial did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.handle import TrialHandle
from tuner.spec import AfterRun
from tuner.spec.read import validate
from tuner.train.options import Options
from tuner.train.tasks import Task
from tuner.train.training import Sources


def follow(
    trial: TrialHandle,
    task: Task,
    document: Mapping[str, Any],
    options: Options,
    recipe: Mapping[str, Any],
    *,
    metric: str,
    sources: Sources,
) -> None:
    """Do what the document's `run.after` says, as `trial`.

    Each report is a network of an ensemble, a part of the data doctor's rows, or the one network
    whose neighbours are asked. A trial that was interrupted begins anew.

    Raises:
        InvalidInput: the document is none, or the device is not there.
    """
    from tuner.train.after import doctor, ensemble, neighbours
    from tuner.train.after.members import Trainer

    run = validate(AfterRun, dict(document))
    trainer = Trainer.of(trial, task, run, options, recipe=recipe, sources=sources)
    with trainer.arithmetic():
        if run.kind == "ensemble":
            ensemble.run(trial, trainer, metric)
        elif run.kind == "data_doctor":
            doctor.run(trial, trainer, metric)
        else:
            neighbours.run(trial, trainer, metric)
