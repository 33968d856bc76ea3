"""A small database with a trial of every kind, written by the ledger itself."""

from __future__ import annotations

import asyncio
import hashlib
import math
from datetime import timedelta
from pathlib import Path

from storage import Transaction, open_ledger
from tests.contract.ledger_database import NOW
from tests.contract.ledger_history import History, random_params, spec
from tuner.decision import Outcome
from tuner.trial import (
    AttemptEnd,
    Checkpoint,
    Event,
    EventKind,
    Lease,
    Origin,
    Report,
    StudyState,
    Trial,
    TrialState,
)

WEIGHTS = b"weights of trial 0"
LATER = NOW + timedelta(hours=1)
ENDS = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED, Outcome.FAILED)


def lay_sample(url: str, artifacts: Path) -> None:
    """Write study 1, "s", with trials 0 to 3 ended, 4 running and 5 waiting, and study 2, over."""

    async def run() -> None:
        async with open_ledger(url) as ledger:
            await ledger.write(_studies)
            await ledger.write(_trials)

    asyncio.run(run())
    file = artifacts / "1/0/1-1.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(WEIGHTS)


def _studies(tx: Transaction) -> None:
    study = tx.new_study("s", spec(), "me", NOW)
    tx.put_study(study.evolve(state=StudyState.RUNNING, started_at=NOW))
    over = tx.new_study("over", spec(), "me", NOW)
    _end(tx, _report(tx, _lease(tx, _new(tx, over.study_id)), 1, 0.5), Outcome.COMPLETE)
    tx.put_study(over.evolve(state=StudyState.FINISHED, started_at=NOW, ended_at=LATER))
    tx.put_reply("key", "digest", 200, b"{}", NOW)


def _trials(tx: Transaction) -> None:
    for outcome in ENDS:
        trial = _lease(tx, _new(tx, 1))
        trial = _report(tx, _report(tx, trial, 1, 1.0), 2, 0.5)
        if outcome is Outcome.COMPLETE:
            trial = _resumed(tx, trial)
        if outcome is Outcome.DIVERGED:
            trial = _report(tx, trial, 3, math.nan)
        _end(tx, trial, outcome)
    _report(tx, _lease(tx, _new(tx, 1)), 1, 0.25)
    _new(tx, 1)


def _new(tx: Transaction, study_id: int) -> Trial:
    number = tx.next_number(study_id)
    params = random_params(History(number).rng, tx.study(study_id))
    return tx.new_trial(study_id, params, Origin.SAMPLED, number, NOW)


def _lease(tx: Transaction, trial: Trial) -> Trial:
    attempt = trial.attempt + 1
    lease = Lease(
        token=f"token-{trial.trial_id}-{attempt}", study_id=trial.study_id,
        number=trial.number, attempt=attempt, worker_id="w",
    )  # fmt: skip
    tx.open_attempt(trial, lease, NOW)
    step = trial.checkpoint.step if trial.checkpoint else 0
    leased = trial.evolve(
        state=TrialState.RUNNING, attempt=attempt, lease=lease, started_at=NOW,
        reports=tuple(r for r in trial.reports if r.step <= step),
    )  # fmt: skip
    tx.put_trial(leased)
    return leased


def _report(tx: Transaction, trial: Trial, step: int, value: float) -> Trial:
    report = Report(step, value, 1.0)
    tx.add_report(trial, trial.attempt, report, {"acc": 0.5}, NOW)
    trial = trial.evolve(reports=(*trial.reports, report))
    tx.put_trial(trial)
    return trial


def _resumed(tx: Transaction, trial: Trial) -> Trial:
    """Store a checkpoint of step 1, lose the attempt, and go on in a second one."""
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    checkpoint = Checkpoint(1, 1, sha256, len(WEIGHTS), "1/0/1-1.safetensors")
    tx.add_checkpoint(trial, checkpoint, NOW)
    tx.close_attempt(trial, AttemptEnd.LOST, NOW)
    trial = trial.evolve(checkpoint=checkpoint, state=TrialState.WAITING, lease=None)
    tx.put_trial(trial)
    return _report(tx, _lease(tx, trial), 2, 0.125)


def _end(tx: Transaction, trial: Trial, outcome: Outcome) -> None:
    tx.close_attempt(trial, AttemptEnd.ENDED, LATER)
    value = min(r.value for r in trial.reports) if outcome is Outcome.COMPLETE else None
    ended = trial.evolve(
        state=TrialState.ENDED, outcome=outcome, value=value, lease=None, ended_at=LATER
    )
    tx.put_trial(ended)
    data = {"outcome": outcome.value}
    at = {"study_id": trial.study_id, "number": trial.number}
    tx.add_event(Event(kind=EventKind.ENDED, at=LATER, data=data, **at))
