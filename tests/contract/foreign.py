"""A study of plain Optuna with trials of every kind, and taking one over without a server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from api import adopt, optuna_trials, submit
from api.limits.settings import Limits
from storage import open_ledger
from storage.adopting import Plan, batches, plan, read
from tuner.spec import check
from tuner.study import Study
from tuner.trial import Trial
from tuner.wire import Adopt, AdoptTrials

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
NAME = "theirs"
PLACE = {
    "lr.of.head": FloatDistribution(1e-5, 0.1, log=True),
    "grid": FloatDistribution(-0.3, 0.3, step=0.1),
    "width": IntDistribution(8, 64, step=8),
    "units": IntDistribution(1, 1 << 20, log=True),
    "kind": CategoricalDistribution(["a", True, 2, 0.5, "é"]),
    "fixed": IntDistribution(3, 3),
    "still": FloatDistribution(0.25, 0.25),
}
POINT = {
    "lr.of.head": 0.01, "grid": 0.1, "width": 24, "units": 77, "kind": True, "fixed": 3,
    "still": 0.25,
}  # fmt: skip


def trial_of(
    state: TrialState = TrialState.COMPLETE, value: float | None = None, **chosen: Any
) -> FrozenTrial:
    """Return a trial with all parameters of `PLACE`, changed by `params` and `distributions`."""
    distributions: dict[str, BaseDistribution] = {**PLACE, **chosen.pop("distributions", {})}
    params = {**POINT, **chosen.pop("params", {})}
    return create_trial(
        state=state, value=value, params=params, distributions=distributions, **chosen
    )


def lay_foreign(storage: BaseStorage) -> None:
    """Write the study `theirs`, and two that can't be taken over."""
    study = optuna.create_study(storage=storage, study_name=NAME, direction="maximize")
    study.set_metric_names(["val/acc"])
    study.set_user_attr("team", {"name": "vision", "odd": math.inf})
    curve = {0: 0.5, 1: math.nan, 2: -math.inf, 5: 0.75}
    attrs = {"host": "node7", "odd": [1, None, {"é": True}], "tuner:seed": 5}
    study.add_trial(trial_of(value=0.75, intermediate_values=curve, user_attrs=attrs))
    study.add_trial(trial_of(value=math.inf))
    study.add_trial(trial_of(TrialState.PRUNED, 9.0, intermediate_values={1: 0.5, 3: 0.25}))
    study.add_trial(trial_of(TrialState.PRUNED, intermediate_values={1: math.nan}))
    study.add_trial(trial_of(TrialState.FAIL, intermediate_values={4: 1e-300}))
    study.add_trial(create_trial(state=TrialState.FAIL, params={}, distributions={}))
    wider = {
        "lr.of.head": FloatDistribution(1e-7, 1.0, log=True),
        "grid": FloatDistribution(-0.25, 0.25),
        "width": IntDistribution(4, 128, step=4),
    }
    points = {"lr.of.head": 0.5, "grid": 0.05, "width": 12}
    study.add_trial(trial_of(value=0.5, distributions=wider, params=points))
    study.add_trial(trial_of(value=-1e300, user_attrs={"large": "x" * 3000}))
    study.enqueue_trial({"lr.of.head": 0.003, "width": 16})
    study.enqueue_trial({})
    study.ask()
    running = study.ask()
    running.suggest_float("lr.of.head", 1e-7, 1.0, log=True)
    running.report(0.5, 1)
    optuna.create_study(storage=storage, study_name="both", directions=["minimize", "maximize"])
    optuna.create_study(storage=storage, study_name="empty")


def take_over(
    url: str, place: str, given: Mapping[str, Any] | None = None, name: str = NAME, most: int = 500
) -> tuple[Plan, list[Trial]]:
    """Adopt a study at `place` into the database at `url`, as the server does; give its trials."""
    planned = plan(read(place, name), name, given)
    messages = batches(planned, NOW)

    begin = partial(adopt.begin, limits=Limits())

    async def run() -> list[Trial]:
        async with open_ledger(url) as ledger:
            submission = submit.prepare(check(planned.document))
            begun = await ledger.write(lambda tx: begin(tx, submission, _adopt(), "me", NOW))
            study = ledger.memory.study(begun.id)
            for message in messages[:most]:
                found = optuna_trials.prepare(study, _as_sent(message), NOW)
                append = partial(adopt.append, ref=str(study.study_id), batch=message, now=NOW)
                await ledger.write(partial(append, found=found))
            return list(ledger.memory.trials(begun.id))

    def _adopt() -> Adopt:
        return Adopt(document={}, source=planned.source.place)

    return planned, asyncio.run(run())


def _as_sent(message: AdoptTrials) -> AdoptTrials:
    return AdoptTrials.model_validate_json(message.model_dump_json())


def held(url: str, name: str = NAME) -> tuple[Study, list[Trial]]:
    """Return a study and its trials as a server reads them when it starts."""

    async def run() -> tuple[Study, list[Trial]]:
        async with open_ledger(url) as ledger:
            study = ledger.memory.study_named(name)
            return study, list(ledger.memory.trials(study.study_id))

    return asyncio.run(run())
