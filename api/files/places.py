"""Where a trial's files lie in the store, and places that a lease may upload to directly.

A key holds a random part, so that no file is ever replaced: one that a late writer puts there is
named by no row, and swept away.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from api.files.fence import writable
from api.limits import quotas
from api.services import Services
from tuner.access import Identity
from tuner.errors import InvalidInput, TooLarge
from tuner.trial import Trial
from tuner.wire import AskUpload, UploadPlace

SUFFIX = ".safetensors"
EXPIRES_S = 300.0
"""How long a signed request holds: from when it was asked for to when it begins."""
ARTIFACTS = "files"


class Arrived(NamedTuple):
    """What a worker says of a file it put into the store by itself."""

    upload: str
    size: int
    sha256: str


def new_id() -> str:
    """Return the random part of a key."""
    return secrets.token_hex(8)


def checkpoint_key(trial: Trial, attempt: int, step: int, upload: str) -> str:
    """Return where a checkpoint lies."""
    return f"{trial.study_id}/{trial.number}/{attempt}-{step}-{upload}{SUFFIX}"


def artifact_key(trial: Trial, attempt: int, upload: str) -> str:
    """Return where an artifact lies; its name stands in its row only."""
    return f"{trial.study_id}/{trial.number}/{ARTIFACTS}/{attempt}-{upload}"


async def place(services: Services, token: str, ask: AskUpload, who: Identity) -> UploadPlace:
    """Give a place in the store for one file of this size and hash, if the store can sign.

    Raises:
        NotAllowed: the lease was given to another access token.
        QuotaReached: the project has no room for it.
        StaleAttempt: the lease is void.
        TooLarge: it is larger than the server takes.
        Unavailable: the store does not answer.
    """
    trial = await writable(services, token, ask.attempt, who)
    settings = services.settings
    limit = settings.limits.max_artifact if ask.step is None else settings.max_checkpoint
    if ask.size > limit:
        raise TooLarge(f"the file is larger than {limit} bytes", limit=limit)
    memory = services.ledger.memory
    project = memory.study(trial.study_id).spec.queue.project
    quotas.check_artifact(memory, settings.limits, project, size=ask.size)
    if not settings.direct:
        return UploadPlace()
    upload = new_id()
    if ask.step is None:
        key = artifact_key(trial, ask.attempt, upload)
    else:
        key = checkpoint_key(trial, ask.attempt, ask.step, upload)
    signed = await asyncio.to_thread(
        services.store.sign_put, key, size=ask.size, sha256=ask.sha256, expires_s=EXPIRES_S
    )
    if signed is None:
        return UploadPlace()
    return UploadPlace(
        upload=upload, url=signed.url, headers=dict(signed.headers), expires_s=signed.expires_s
    )


async def check_arrived(services: Services, key: str, arrived: Arrived) -> None:
    """Look whether a file that a worker put into the store is there, whole.

    Raises:
        InvalidInput: it is not, or has another size or hash than announced.
        Unavailable: the store does not answer.
    """
    store = services.store
    size = await asyncio.to_thread(store.size, key)
    if size is None:
        raise InvalidInput("the store has no such file; upload it again")
    if size != arrived.size:
        raise InvalidInput(f"the store has {size} bytes of it instead of {arrived.size}")
    told = await asyncio.to_thread(store.sha256, key)
    if told is not None and told != arrived.sha256:
        raise InvalidInput("the store has another sha256 of it than the one announced")
