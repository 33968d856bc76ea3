"""Checkpoints: files in the store, which count once the ledger holds their record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from api.fence import lease_of
from api.files import retention
from api.files.fence import still_writable, writable
from api.files.places import Arrived, check_arrived, checkpoint_key, new_id
from api.files.receive import Body, receive, within_quota
from api.limits import quotas
from api.services import Services
from storage.artifacts import kept_checkpoints
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.errors import NotFound, StorageFull, TunerError, Unavailable
from tuner.trial import Checkpoint, Event, EventKind, Trial
from tuner.wire import CheckpointView

_log = logging.getLogger(__name__)


class Upload(NamedTuple):
    """What a client says about a checkpoint."""

    who: Identity
    token: str
    attempt: int
    step: int
    sha256: str


async def store(services: Services, upload: Upload, body: AsyncIterator[bytes]) -> CheckpointView:
    """Take a checkpoint in through this server and make it the trial's current one.

    The file is whole and in the store before the ledger learns of it; whatever goes wrong before
    leaves the previous one current.

    Raises:
        InvalidInput: the hash differs from what arrived, or the body is empty.
        NotAllowed: the lease was given to another access token.
        QuotaReached: the project has no room for it.
        StaleAttempt: the lease is void, before the upload or after it.
        StorageFull: the disk is full.
        TooLarge: it is larger than the server takes.
    """
    trial = await writable(services, upload.token, upload.attempt, upload.who)
    key = checkpoint_key(trial, upload.attempt, upload.step, new_id())
    body = within_quota(services, trial, body, await _replaced(services, upload, trial))
    whole = Body("checkpoint", body, services.settings.max_checkpoint, upload.sha256)
    size = await receive(services, key, whole, lambda: services.deadlines.renew(upload.token))
    return await _count(services, upload, trial, key, size)


async def _replaced(services: Services, upload: Upload, trial: Trial) -> int:
    """Return the bytes of the checkpoints that go when this one counts."""
    new = Checkpoint(
        attempt=upload.attempt, step=upload.step, sha256=upload.sha256, size=0, path=""
    )
    known = [k.checkpoint for k in await kept_checkpoints(services.ledger, trial.trial_id)]
    study = services.ledger.memory.study(trial.study_id)
    kept = retention.sort([*known, new], trial.reports, study.spec.objective.mode)
    return sum(c.size for c in kept.go)


async def register(services: Services, upload: Upload, arrived: Arrived) -> CheckpointView:
    """Make a checkpoint current that its worker put into the store.

    Raises:
        InvalidInput: it is not there, or not whole.
        NotAllowed: the lease was given to another access token.
        QuotaReached: the project has no room for it.
        StaleAttempt: the lease is void.
        Unavailable: the store does not answer.
    """
    trial = await writable(services, upload.token, upload.attempt, upload.who)
    key = checkpoint_key(trial, upload.attempt, upload.step, arrived.upload)
    await check_arrived(services, key, arrived)
    return await _count(services, upload, trial, key, arrived.size)


async def _count(
    services: Services, upload: Upload, trial: Trial, key: str, size: int
) -> CheckpointView:
    checkpoint = Checkpoint(
        attempt=upload.attempt, step=upload.step, sha256=upload.sha256, size=size, path=key
    )
    async with services.locks.of(trial):
        known = [k.checkpoint for k in await kept_checkpoints(services.ledger, trial.trial_id)]
        try:
            current, gone = await services.ledger.write(
                lambda tx: _register(tx, services, upload, checkpoint, known)
            )
        except (Unavailable, StorageFull):
            raise  # whether it counts is not known
        except TunerError:
            await forget(services, [key])
            raise
        await forget(services, gone)
    return _view(current)


def _register(
    tx: Transaction,
    services: Services,
    upload: Upload,
    checkpoint: Checkpoint,
    known: Sequence[Checkpoint],
) -> tuple[Checkpoint, list[str]]:
    """Make a checkpoint current, unless a later one of the attempt is.

    Returns the current one, and the paths of files that are not kept.
    """
    trial = still_writable(tx, upload.token, upload.attempt, upload.who)
    services.deadlines.renew(upload.token)
    later = [c for c in known if c.attempt == checkpoint.attempt and c.step >= checkpoint.step]
    if later:
        unwanted = [checkpoint.path] if checkpoint not in later else []
        return max(later, key=lambda c: c.step), unwanted
    study = tx.study(trial.study_id)
    kept = retention.sort([*known, checkpoint], trial.reports, study.spec.objective.mode)
    limits, project = services.settings.limits, study.spec.queue.project
    replaced = sum(c.size for c in kept.go)
    quotas.check_artifact(tx, limits, project, size=checkpoint.size, replaced=replaced)
    now = services.clock()
    tx.add_checkpoint(trial, checkpoint, now)
    for old in kept.go:
        tx.drop_checkpoint(trial, old)
    tx.put_trial(trial.evolve(checkpoint=checkpoint))
    tx.add_event(
        Event(
            study_id=trial.study_id,
            kind=EventKind.CHECKPOINT,
            at=now,
            number=trial.number,
            attempt=checkpoint.attempt,
            step=checkpoint.step,
            data={"size": checkpoint.size, "sha256": checkpoint.sha256},
        )
    )
    return checkpoint, [old.path for old in kept.go]


async def forget(services: Services, paths: Sequence[str]) -> None:
    """Delete files that no row names; those that can't be are swept later."""
    if services.foreign_store.is_set():
        return
    for path in paths:
        try:
            await asyncio.to_thread(services.store.delete, path)
        except TunerError as exc:
            _log.warning("the file %s could not be deleted: %s", path, exc.detail)


def resumable(services: Services, token: str, who: Identity) -> Checkpoint:
    """Return the checkpoint a leased trial resumes from.

    Raises:
        NotAllowed: the lease was given to another access token.
        NotFound: it has none.
        StaleAttempt: the lease is void.
    """
    lease = lease_of(services.ledger.memory, token, who)
    trial: Trial = services.ledger.memory.trial(lease.study_id, lease.number)
    if trial.checkpoint is None:
        raise NotFound("the trial has no checkpoint")
    return trial.checkpoint


def _view(checkpoint: Checkpoint) -> CheckpointView:
    return CheckpointView(
        attempt=checkpoint.attempt,
        step=checkpoint.step,
        sha256=checkpoint.sha256,
        size=checkpoint.size,
    )
