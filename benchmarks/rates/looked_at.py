"""A large study to look at: curves with noise, halvings, an event for each end."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from api.sampling.points import draw
from api.submit import prepare
from storage import Transaction
from storage.open import open_ledger
from tests.scenes import document, loss
from tuner.decision import Outcome
from tuner.space import Params
from tuner.spec import StudySpec, check
from tuner.trial import (
    AttemptEnd,
    Event,
    EventKind,
    Lease,
    Origin,
    Report,
    StudyState,
    TrialState,
)

_AT_ONCE = 250
_GAP_S = 2.0


async def lay(url: str, name: str, trials: int, steps: int) -> None:
    """Submit a study that others' loops train, and give it complete trials of so many reports."""
    budget = {"trials": 10 * trials, "steps": 2 * steps, "parallel": 100}
    given = document(name, sampler={"name": "random", "seed": 0}, policies=[], budget=budget)
    spec = prepare(check({**given, "pruner": {"name": "none"}})).spec
    space, rng = spec.build_space(), random.Random(0)
    async with open_ledger(url) as ledger:
        study_id = await ledger.write(partial(_begin, name=name, spec=spec))
        for done in range(0, trials, _AT_ONCE):
            points = [draw(space, rng) for _ in range(min(_AT_ONCE, trials - done))]
            at = datetime.now(UTC) - timedelta(seconds=_GAP_S * (trials - done))
            await ledger.write(
                partial(_complete, study_id=study_id, points=points, steps=steps, at=at)
            )


def _begin(tx: Transaction, name: str, spec: StudySpec) -> int:
    now = datetime.now(UTC)
    study = tx.new_study(name, spec, "benchmark", now)
    tx.put_study(study.evolve(state=StudyState.RUNNING, started_at=now))
    return study.study_id


def _complete(
    tx: Transaction, study_id: int, points: Sequence[Params], steps: int, at: datetime
) -> None:
    for k, point in enumerate(points):
        then = at + timedelta(seconds=_GAP_S * k)
        trial = tx.new_trial(study_id, point, Origin.SAMPLED, 0, then)
        lease = Lease(
            token=secrets.token_urlsafe(16), study_id=study_id, number=trial.number,
            attempt=1, worker_id=None,
        )  # fmt: skip
        tx.open_attempt(trial, lease, then)
        reports = _reports(point, trial.number, steps)
        for report in reports:
            tx.add_report(trial, 1, report, {}, then)
        tx.close_attempt(trial, AttemptEnd.ENDED, then)
        tx.put_trial(
            trial.evolve(
                state=TrialState.ENDED, outcome=Outcome.COMPLETE,
                value=min(r.value for r in reports), attempt=1, reports=reports,
                lr_factor=reports[-1].lr_factor, started_at=then, ended_at=then,
            )
        )  # fmt: skip
        said = {"outcome": "complete", "reason": f"all {steps} steps done"}
        tx.add_event(
            Event(study_id=study_id, kind=EventKind.ENDED, at=then, number=trial.number,
                  attempt=1, step=steps, data=said)
        )  # fmt: skip


def _reports(point: Params, number: int, steps: int) -> tuple[Report, ...]:
    rng = random.Random(number)
    safe = {**point, "lr": min(float(point["lr"]), 0.4)}
    level = 1.0
    found = []
    for step in range(1, steps + 1):
        level *= 0.5 if rng.random() < 0.04 else 1.0
        found.append(Report(step, loss(safe, step, level, rng.gauss(0, 1)), level))
    return tuple(found)
