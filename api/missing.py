"""Checkpoints whose files are gone or damaged: trials go on from an earlier one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from api import lifecycle
from api.artifacts import forget
from api.fence import held_trial, last_held
from api.services import Services
from storage import queries
from storage.memory import Reader, same_report
from storage.stores import Store
from storage.stores.base import read_sha256
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.decision import Outcome
from tuner.errors import NotFound, StaleAttempt
from tuner.trial import AttemptEnd, Checkpoint, Event, EventKind, Trial, TrialState
from tuner.wire import RejectCheckpoint, TrialAfter

_LOOKS = 16
"""Files looked at side by side: each costs a round trip to a store."""
_log = logging.getLogger(__name__)


async def fall_back(services: Services) -> None:
    """Let each open trial whose checkpoint is missing resume from the newest one that is there.

    Without any it starts anew. Files are looked at once, when the server starts.

    Raises:
        Unavailable: the database or the store of files is away.
    """
    memory = services.ledger.memory
    held = [
        trial
        for study in memory.studies()
        if not study.is_over
        for trial in memory.trials(study.study_id)
        if trial.state is not TrialState.ENDED and trial.checkpoint is not None
    ]
    for trial in await asyncio.to_thread(_without_file, services.store, held):
        known = await queries.trial_checkpoints(services.ledger, trial.study_id, trial.number)
        there = await asyncio.to_thread(_whole, services.store, known)
        lost = [c for c in known if c not in there]
        go_back = partial(_go_back, services=services, seen=trial, there=there, lost=lost)
        await services.ledger.write(go_back)


async def reject(
    services: Services, token: str, body: RejectCheckpoint, who: Identity
) -> TrialAfter:
    """Give a trial back whose worker could not use the checkpoint it was to go on from.

    If the file is damaged here, too, the trial goes on from an earlier one, and nothing counts
    against it. If it is whole here, the worker is at fault, and the attempt counts as failed.

    Raises:
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease is void, and the trial does not wait.
        Unavailable: the store does not answer.
    """
    memory = services.ledger.memory
    try:
        trial = held_trial(memory, token, body.attempt, who)
    except StaleAttempt:
        return _after(last_held(memory, token, body.attempt, who))
    bad = trial.checkpoint
    if bad is None or bad.sha256 != body.sha256:
        raise StaleAttempt("the trial goes on from another checkpoint")
    sound = await asyncio.to_thread(_sound, services.store, bad)
    known = await queries.trial_checkpoints(services.ledger, trial.study_id, trial.number)
    others = [c for c in known if c != bad]
    there = [bad] if sound else await asyncio.to_thread(_whole, services.store, others)

    def command(tx: Transaction) -> TrialAfter:
        held = held_trial(tx, token, body.attempt, who)
        why = f"the checkpoint of step {bad.step} can't be used"
        if sound:
            reason = f"{why} by the worker, and is whole here: {body.reason}"[:500]
            return _after(_failed(tx, services, held, reason))
        _go_back(tx, services, held, there, [bad])
        held = tx.trial(held.study_id, held.number)
        end, now = AttemptEnd.RELEASED, services.clock()
        return _after(lifecycle.requeue(tx, held, end, now, reason=f"{why}: {body.reason}"[:500]))

    async with services.locks.of(trial):
        after = await services.ledger.write(command)
    if sound is False:
        await forget(services, [bad.path])
    return after


def _failed(tx: Transaction, services: Services, trial: Trial, reason: str) -> Trial:
    study, now = tx.study(trial.study_id), services.clock()
    if trial.failures < study.spec.retry.max:
        return lifecycle.requeue(tx, trial, AttemptEnd.FAILED, now, reason=reason)
    trial = trial.evolve(failures=trial.failures + 1)
    return lifecycle.end_trial(tx, study, trial, Outcome.FAILED, now, reason=reason)


def _after(trial: Trial) -> TrialAfter:
    return TrialAfter(state=trial.state, outcome=trial.outcome)


def _without_file(store: Store, trials: Sequence[Trial]) -> list[Trial]:
    checkpoints = [t.checkpoint for t in trials if t.checkpoint is not None]
    there = set(_whole(store, checkpoints))
    return [t for t in trials if t.checkpoint not in there]


def _whole(store: Store, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    if not checkpoints:
        return []
    with ThreadPoolExecutor(_LOOKS) as pool:
        sizes = pool.map(store.size, (c.path for c in checkpoints))
        return [c for c, size in zip(checkpoints, sizes, strict=True) if size == c.size]


def _sound(store: Store, checkpoint: Checkpoint) -> bool | None:
    """Tell whether a file has the content that was registered; None if it can't be read."""
    if store.size(checkpoint.path) != checkpoint.size:
        return False
    found = read_sha256(store, checkpoint.path)
    return None if found is None else found == checkpoint.sha256


def _fits(reader: Reader, trial: Trial, checkpoint: Checkpoint) -> bool:
    """Tell whether the trial's curve up to a checkpoint is the one that led to it."""
    for report in trial.reports:
        if report.step > checkpoint.step:
            break
        stored = (
            reader.stored_report(trial.study_id, trial.number, attempt, report.step)
            for attempt in range(checkpoint.attempt + 1)
        )
        if not any(s is not None and same_report(s, report) for s in stored):
            return False
    return True


def _go_back(
    tx: Transaction,
    services: Services,
    seen: Trial,
    there: Sequence[Checkpoint],
    lost: Sequence[Checkpoint],
) -> None:
    """Make the newest fitting checkpoint of those that are `there` the current one; say so."""
    try:
        trial = tx.trial(seen.study_id, seen.number)
    except NotFound:
        return
    held = trial.checkpoint
    if held is None or held != seen.checkpoint or trial.state is TrialState.ENDED:
        return
    fitting = [c for c in there if _fits(tx, trial, c)]
    found = max(fitting, key=lambda c: (c.attempt, c.step), default=None)
    for checkpoint in lost:
        tx.drop_checkpoint(trial, checkpoint)
    tx.put_trial(trial.evolve(checkpoint=found))
    step = 0 if found is None else found.step
    tx.add_event(
        Event(
            study_id=trial.study_id,
            kind=EventKind.MISSING,
            at=services.clock(),
            number=trial.number,
            attempt=held.attempt,
            step=held.step,
            data={"path": held.path, "resumes_from": step},
        )
    )
    _log.warning("the checkpoint %s is missing: its trial resumes from step %d", held.path, step)
