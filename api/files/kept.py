"""Artifacts: files that a trial keeps under names of its own, and lists of what is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from api.artifacts import forget
from api.files import retention
from api.files.fence import still_writable, writable
from api.files.places import Arrived, artifact_key, check_arrived, new_id
from api.files.receive import Body, receive, within_quota
from api.limits import quotas
from api.listing import Order, cut
from api.services import Services
from storage.artifacts import KeptArtifact, count_artifacts, kept_artifacts, kept_checkpoints
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.artifact import preview_kind
from tuner.errors import Conflict, NotFound, StorageFull, TunerError, Unavailable
from tuner.trial import Artifact, Checkpoint, Trial
from tuner.wire import ArtifactPage, ArtifactView, CheckpointList, KeptCheckpointView


class File(NamedTuple):
    """What a client says about an artifact."""

    who: Identity
    token: str
    attempt: int
    name: str
    sha256: str


async def store(services: Services, file: File, body: AsyncIterator[bytes]) -> ArtifactView:
    """Take an artifact in through this server.

    Raises:
        Conflict: the trial has as many as it may.
        InvalidInput: the hash differs from what arrived.
        NotAllowed: the lease was given to another access token.
        QuotaReached: the project has no room for it.
        StaleAttempt: the lease is void.
        StorageFull: the disk is full.
        TooLarge: it is larger than the server takes.
    """
    trial = await writable(services, file.token, file.attempt, file.who)
    key = artifact_key(trial, file.attempt, new_id())
    old = await _named(services, trial, file.name)
    replaced = 0 if old is None else old.artifact.size
    body = within_quota(services, trial, body, replaced)
    whole = Body("artifact", body, services.settings.limits.max_artifact, file.sha256)
    size = await receive(services, key, whole, lambda: services.deadlines.renew(file.token))
    return await _count(services, file, trial, key, size)


async def register(services: Services, file: File, arrived: Arrived) -> ArtifactView:
    """Take an artifact that its worker put into the store.

    Raises: as `store`, and InvalidInput if it is not in the store, or not whole.
    """
    trial = await writable(services, file.token, file.attempt, file.who)
    key = artifact_key(trial, file.attempt, arrived.upload)
    await check_arrived(services, key, arrived)
    return await _count(services, file, trial, key, arrived.size)


async def _count(services: Services, file: File, trial: Trial, key: str, size: int) -> ArtifactView:
    artifact = Artifact(
        name=file.name, attempt=file.attempt, sha256=file.sha256, size=size, path=key
    )
    async with services.locks.of(trial):
        old = await _named(services, trial, file.name)
        replaced = None if old is None else old.artifact
        try:
            if old is None:
                await _check_count(services, trial)
            now = services.clock()
            kept = KeptArtifact(artifact=artifact, at=now)
            await services.ledger.write(lambda tx: _register(tx, services, file, kept, replaced))
        except (Unavailable, StorageFull):
            raise  # whether it counts is not known
        except TunerError:
            await forget(services, [key])
            raise
        if replaced is not None and replaced.path != key:
            await forget(services, [replaced.path])
    return artifact_view(kept)


async def _check_count(services: Services, trial: Trial) -> None:
    most = services.settings.limits.artifacts_each
    if await count_artifacts(services.ledger, trial.trial_id) >= most:
        raise Conflict(f"a trial keeps at most {most} files")


def _register(
    tx: Transaction,
    services: Services,
    file: File,
    kept: KeptArtifact,
    replaced: Artifact | None,
) -> None:
    trial = still_writable(tx, file.token, file.attempt, file.who)
    services.deadlines.renew(file.token)
    project = tx.study(trial.study_id).spec.queue.project
    room = 0 if replaced is None else replaced.size
    limits, size = services.settings.limits, kept.artifact.size
    quotas.check_artifact(tx, limits, project, size=size, replaced=room)
    tx.put_artifact(trial, kept.artifact, kept.at, replaced)


async def _named(services: Services, trial: Trial, name: str) -> KeptArtifact | None:
    found = await kept_artifacts(services.ledger, trial.trial_id, name)
    return found[0] if found else None


async def find(services: Services, trial: Trial, name: str) -> Artifact:
    """Return a trial's artifact. Raises NotFound."""
    found = await _named(services, trial, name)
    if found is None:
        raise NotFound(f"trial {trial.number} keeps no file of this name")
    return found.artifact


async def page(services: Services, trial: Trial, *, limit: int, cursor: str | None) -> ArtifactPage:
    """Show a page of a trial's artifacts, in order of names.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    found = await kept_artifacts(services.ledger, trial.trial_id)
    order: Order[KeptArtifact] = Order(value=lambda kept: kept.artifact.name, ident=lambda _: 0)
    scope = ("artifacts", trial.study_id, trial.number)
    items, more = cut(found, order, scope, limit=limit, cursor=cursor)
    return ArtifactPage(items=[artifact_view(kept) for kept in items], next_cursor=more)


def artifact_view(kept: KeptArtifact) -> ArtifactView:
    """Show an artifact."""
    found = kept.artifact
    return ArtifactView(
        name=found.name,
        attempt=found.attempt,
        size=found.size,
        sha256=found.sha256,
        at=kept.at,
        preview=preview_kind(found.name),
    )


async def checkpoint_list(services: Services, trial: Trial) -> CheckpointList:
    """Show a trial's kept checkpoints, oldest first."""
    kept = await kept_checkpoints(services.ledger, trial.trial_id)
    mode = services.ledger.memory.study(trial.study_id).spec.objective.mode
    best = retention.best_of([k.checkpoint for k in kept], trial.reports, mode)
    last = kept[-1].checkpoint if kept else None
    return CheckpointList(
        items=[
            KeptCheckpointView(
                attempt=k.checkpoint.attempt,
                step=k.checkpoint.step,
                size=k.checkpoint.size,
                sha256=k.checkpoint.sha256,
                at=k.at,
                last=k.checkpoint == last,
                best=k.checkpoint == best,
            )
            for k in kept
        ]
    )


async def find_checkpoint(services: Services, trial: Trial, attempt: int, step: int) -> Checkpoint:
    """Return a trial's kept checkpoint. Raises NotFound."""
    for kept in await kept_checkpoints(services.ledger, trial.trial_id):
        if (kept.checkpoint.attempt, kept.checkpoint.step) == (attempt, step):
            return kept.checkpoint
    raise NotFound(f"trial {trial.number} keeps no checkpoint of attempt {attempt}, step {step}")
