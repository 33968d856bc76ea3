"""A database whose study has trials behind it, laid in through the ledger.

python -m benchmarks.rates.prefill URL STUDY TRIALS [SAMPLER]
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from api.sampling.points import draw
from api.submit import prepare
from benchmarks.rates.study import STEPS, document, value
from storage import Transaction
from storage.open import open_ledger
from tuner.decision import Outcome
from tuner.space import Params
from tuner.spec import StudySpec, check
from tuner.trial import AttemptEnd, Lease, Origin, Report, StudyState, TrialState

_AT_ONCE = 500


async def prefill(
    url: str, name: str, trials: int, sampler: str = "random", steps: int = STEPS
) -> None:
    """Submit a study and give it complete trials of so many reports each."""
    spec = prepare(check(document(name, sampler=sampler))).spec
    space, rng = spec.build_space(), random.Random(0)
    async with open_ledger(url) as ledger:
        study_id = await ledger.write(partial(_begin, name=name, spec=spec))
        for done in range(0, trials, _AT_ONCE):
            points = [draw(space, rng) for _ in range(min(_AT_ONCE, trials - done))]
            await ledger.write(partial(_complete, study_id=study_id, points=points, steps=steps))


def _begin(tx: Transaction, name: str, spec: StudySpec) -> int:
    now = datetime.now(UTC)
    study = tx.new_study(name, spec, "benchmark", now)
    tx.put_study(study.evolve(state=StudyState.RUNNING, started_at=now))
    return study.study_id


def _complete(tx: Transaction, study_id: int, points: Sequence[Params], steps: int) -> None:
    now = datetime.now(UTC)
    for point in points:
        trial = tx.new_trial(study_id, point, Origin.SAMPLED, 0, now)
        lease = Lease(
            token=secrets.token_urlsafe(16), study_id=study_id, number=trial.number,
            attempt=1, worker_id=None,
        )  # fmt: skip
        tx.open_attempt(trial, lease, now)
        reports = tuple(Report(step, value(step), 1.0) for step in range(1, steps + 1))
        for report in reports:
            tx.add_report(trial, 1, report, {}, now)
        tx.close_attempt(trial, AttemptEnd.ENDED, now)
        tx.put_trial(
            trial.evolve(
                state=TrialState.ENDED, outcome=Outcome.COMPLETE, value=reports[-1].value,
                attempt=1, reports=reports, started_at=now, ended_at=now,
            )
        )  # fmt: skip


if __name__ == "__main__":
    where, study, count, kind = (*sys.argv[1:], "random")[:4]
    asyncio.run(prefill(where, study, int(count), kind))
    print("null")
