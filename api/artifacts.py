"""Checkpoints: files in the artifact folder, which count once the ledger holds their record."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from api.fence import held_trial, lease_of
from api.limits import quotas
from api.services import Services
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.errors import InvalidInput, NotFound, QuotaReached, StorageFull, TooLarge
from tuner.trial import Checkpoint, Event, EventKind, Trial
from tuner.wire import CheckpointView

KEPT = 2
"""Checkpoints of a trial that stay in the folder."""
SUFFIX = ".safetensors"
RETRY_AFTER_S = 1
_FLUSH = 1 << 20
_FILE = re.compile(r"([0-9]{1,10})-([0-9]{1,10})-[0-9a-f]{12}\.safetensors")
_log = logging.getLogger(__name__)


class Upload(NamedTuple):
    """What a client says about a checkpoint it sends."""

    who: Identity
    token: str
    attempt: int
    step: int
    sha256: str


async def store(services: Services, upload: Upload, body: AsyncIterator[bytes]) -> CheckpointView:
    """Take a checkpoint in and make it the trial's current one.

    The file is whole, flushed and in its place before the ledger learns of it; whatever goes wrong
    before leaves the previous one current.

    Raises:
        InvalidInput: the hash differs from what arrived, or the body is empty.
        NotAllowed: the lease was given to another access token.
        QuotaReached: the project would store more than it may.
        StaleAttempt: the lease is void, before the upload or after it.
        StorageFull: the disk is full.
        TooLarge: it is larger than the server takes.
    """
    trial = held_trial(services.ledger.memory, upload.token, upload.attempt, upload.who)
    folder = services.settings.artifact_dir / str(trial.study_id) / str(trial.number)
    name = f"{upload.attempt}-{upload.step}-{upload.sha256[:12]}{SUFFIX}"
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        size = await _receive(services, upload, part, _within_quota(services, trial, body))
        await asyncio.to_thread(_place, part, folder / name)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    checkpoint = Checkpoint(
        attempt=upload.attempt,
        step=upload.step,
        sha256=upload.sha256,
        size=size,
        path=f"{trial.study_id}/{trial.number}/{name}",
    )
    try:
        current = await services.ledger.write(
            lambda tx: _register(tx, services, upload, checkpoint)
        )
    except QuotaReached:
        await asyncio.to_thread((folder / name).unlink, missing_ok=True)
        raise
    await asyncio.to_thread(_tidy, folder, current)
    return _view(current)


async def _within_quota(
    services: Services, trial: Trial, body: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield the body until it is more than its project may store: it must not fill the disk.

    Raises:
        QuotaReached: it is.
    """
    memory, limits = services.ledger.memory, services.settings.limits
    project = memory.study(trial.study_id).spec.queue.project
    replaced = 0 if trial.checkpoint is None else trial.checkpoint.size
    room, size = quotas.artifact_room(memory, limits, project), 0
    async for chunk in body:
        size += len(chunk)
        if size > room + replaced:
            quotas.check_artifact(memory, limits, project, size=size, replaced=replaced)
            room = quotas.artifact_room(memory, limits, project)
        yield chunk


async def _receive(
    services: Services, upload: Upload, part: Path, body: AsyncIterator[bytes]
) -> int:
    """Write the body to `part`; return its size in bytes. The lease is renewed as it arrives."""
    digest, size = hashlib.sha256(), 0
    limit = services.settings.max_checkpoint
    file = await asyncio.to_thread(_create, part)
    try:
        pending = bytearray()
        async for chunk in body:
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the checkpoint is larger than {limit} bytes", limit=limit)
            pending += chunk
            if len(pending) >= _FLUSH:
                services.deadlines.renew(upload.token)
                await asyncio.to_thread(_append, file, digest, bytes(pending))
                pending.clear()
        await asyncio.to_thread(_append, file, digest, bytes(pending))
        await asyncio.to_thread(_sync, file)
    except OSError as exc:
        raise _full() from exc
    finally:
        with suppress(OSError):  # what the file still buffers does not fit either
            file.close()
    if not size:
        raise InvalidInput("the checkpoint is empty")
    if digest.hexdigest() != upload.sha256:
        raise InvalidInput("the checkpoint's sha256 is not the one announced; send it again")
    return size


def _create(part: Path) -> BinaryIO:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return part.open("xb")
    except OSError as exc:
        raise _full() from exc


def _full() -> StorageFull:
    return StorageFull("the checkpoint could not be written", retry_after=RETRY_AFTER_S)


def _append(file: BinaryIO, digest: hashlib._Hash, data: bytes) -> None:
    digest.update(data)
    file.write(data)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _place(part: Path, target: Path) -> None:
    try:
        part.replace(target)
        for folder in (target.parent, target.parent.parent, target.parent.parent.parent):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as exc:
        raise _full() from exc


def _register(
    tx: Transaction, services: Services, upload: Upload, checkpoint: Checkpoint
) -> Checkpoint:
    """Make a checkpoint current, unless a later one of the attempt is. Returns the current one."""
    trial = held_trial(tx, upload.token, upload.attempt, upload.who)
    services.deadlines.renew(upload.token)
    old = trial.checkpoint
    if old is not None and old.attempt == checkpoint.attempt and old.step >= checkpoint.step:
        return old
    project = tx.study(trial.study_id).spec.queue.project
    replaced = 0 if old is None else old.size
    limits = services.settings.limits
    quotas.check_artifact(tx, limits, project, size=checkpoint.size, replaced=replaced)
    now = services.clock()
    tx.add_checkpoint(trial, checkpoint, now)
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
    return checkpoint


def _tidy(folder: Path, current: Checkpoint) -> None:
    """Delete a trial's files but the current one and the newest others, `KEPT` in all."""
    found = {p: m for p in folder.iterdir() if (m := _FILE.fullmatch(p.name))}
    keep = Path(current.path).name
    newest = sorted(
        (p for p in found if p.name != keep),
        key=lambda p: (int(found[p][1]), int(found[p][2]), p.name),
        reverse=True,
    )
    for path in newest[KEPT - 1 :]:
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            _log.warning("an old checkpoint could not be deleted: %s", exc)


def resumable(services: Services, token: str, who: Identity) -> tuple[Path, Checkpoint]:
    """Return the file a leased trial resumes from.

    Raises:
        NotAllowed: the lease was given to another access token.
        NotFound: it has none, or the file is gone.
        StaleAttempt: the lease is void.
    """
    lease = lease_of(services.ledger.memory, token, who)
    trial: Trial = services.ledger.memory.trial(lease.study_id, lease.number)
    if trial.checkpoint is None:
        raise NotFound("the trial has no checkpoint")
    path = services.settings.artifact_dir / trial.checkpoint.path
    if not path.is_file():
        _log.error("the checkpoint %s is registered and missing", trial.checkpoint.path)
        raise NotFound("the checkpoint's file is gone")
    return path, trial.checkpoint


def _view(checkpoint: Checkpoint) -> CheckpointView:
    return CheckpointView(
        attempt=checkpoint.attempt,
        step=checkpoint.step,
        sha256=checkpoint.sha256,
        size=checkpoint.size,
    )
