"""A file's way through the server: into a part, whole and with the right hash, then the store."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from api.limits import quotas
from api.services import Services
from tuner.errors import InvalidInput, StorageFull, TooLarge
from tuner.trial import Trial

RETRY_AFTER_S = 1
_FLUSH = 1 << 20


class Body(NamedTuple):
    """A file as it arrives: what it is, the most bytes it may have, and the hash announced."""

    what: str
    chunks: AsyncIterator[bytes]
    limit: int
    sha256: str


async def receive(services: Services, key: str, body: Body, heard: Callable[[], None]) -> int:
    """Put a file into the store; return its size in bytes. `heard` is called as it arrives.

    Raises:
        InvalidInput: the hash differs from what arrived, or the body is empty.
        StorageFull: the disk is full.
        TooLarge: it is larger than allowed.
        Unavailable: the store does not answer.
    """
    part = await asyncio.to_thread(services.store.part, key)
    try:
        size = await _write(part, body, heard)
        await asyncio.to_thread(services.store.take, part, key)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return size


async def within_quota(
    services: Services, trial: Trial, body: AsyncIterator[bytes], replaced: int
) -> AsyncIterator[bytes]:
    """Yield a body until it is more than the project may store: it must not fill the disk.

    Args:
        services: of this server.
        trial: whose file it is.
        body: the file as it arrives.
        replaced: bytes of files that go when it counts.

    Raises:
        QuotaReached: it is.
    """
    memory, limits = services.ledger.memory, services.settings.limits
    project = memory.study(trial.study_id).spec.queue.project
    room, size = quotas.artifact_room(memory, limits, project), 0
    async for chunk in body:
        size += len(chunk)
        if size > room + replaced:
            quotas.check_artifact(memory, limits, project, size=size, replaced=replaced)
            room = quotas.artifact_room(memory, limits, project)
        yield chunk


async def _write(part: Path, body: Body, heard: Callable[[], None]) -> int:
    digest, size = hashlib.sha256(), 0
    file = await asyncio.to_thread(_create, part)
    try:
        pending = bytearray()
        async for chunk in body.chunks:
            size += len(chunk)
            if size > body.limit:
                message = f"the {body.what} is larger than {body.limit} bytes"
                raise TooLarge(message, limit=body.limit)
            pending += chunk
            if len(pending) >= _FLUSH:
                heard()
                await asyncio.to_thread(_append, file, digest, bytes(pending))
                pending.clear()
        await asyncio.to_thread(_append, file, digest, bytes(pending))
        await asyncio.to_thread(_sync, file)
    except OSError as exc:
        raise _full() from exc
    finally:
        with suppress(OSError):  # what the file still buffers does not fit either
            file.close()
    if not size and body.what == "checkpoint":
        raise InvalidInput("the checkpoint is empty")
    if digest.hexdigest() != body.sha256:
        raise InvalidInput(f"the {body.what}'s sha256 is not the one announced; send it again")
    return size


def _create(part: Path) -> BinaryIO:
    try:
        return part.open("xb")
    except OSError as exc:
        raise _full() from exc


def _full() -> StorageFull:
    return StorageFull("the file could not be written", retry_after=RETRY_AFTER_S)


def _append(file: BinaryIO, digest: hashlib._Hash, data: bytes) -> None:
    digest.update(data)
    file.write(data)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
