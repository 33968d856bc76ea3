"""Files on their way out: whole or a range, always as a download; and previews of what is safe.

What a trial keeps was written by code that this server does not trust, and a browser sends its
session along. So nothing is shown but plain text and two kinds of picture, all under a policy that
runs no script; a page or a drawing (SVG) with a script in it is text like any other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response, StreamingResponse

from api.files.places import EXPIRES_S
from api.services import Services
from tuner.errors import NotFound, TooLarge
from tuner.trial import Artifact, Checkpoint

OCTETS = "application/octet-stream"
PREVIEW = 65_536
"""Bytes of a text that a preview shows."""
LARGEST_IMAGE = 5_000_000
_POLICY = {"Content-Security-Policy": "sandbox; default-src 'none'"}
_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_CONTROL = frozenset(range(32)) - {9, 10, 12, 13}


async def direct(services: Services, checkpoint: Checkpoint) -> Response | None:
    """Send a worker to the store for a checkpoint; None if it can't be."""
    if not services.settings.direct:
        return None
    signed = await asyncio.to_thread(services.store.sign_get, checkpoint.path, expires_s=EXPIRES_S)
    return None if signed is None else RedirectResponse(signed.url, 307, _said(checkpoint))


async def checkpoint_file(
    services: Services, checkpoint: Checkpoint, wanted: str | None, name: str
) -> Response:
    """Give a checkpoint out. `wanted` is the header `Range`. Raises NotFound."""
    headers = {**_said(checkpoint), **_attached(name)}
    return await _whole(services, checkpoint, wanted, headers)


async def artifact_file(services: Services, artifact: Artifact, wanted: str | None) -> Response:
    """Give an artifact out as a download. `wanted` is the header `Range`. Raises NotFound."""
    name = artifact.name.rpartition("/")[2]
    return await _whole(services, artifact, wanted, _attached(name))


async def preview(services: Services, artifact: Artifact) -> Response:
    """Show the head of a text, or a PNG or JPEG picture.

    Raises:
        NotFound: it is neither, or its file is gone.
        TooLarge: it is a picture of more than a few megabytes.
    """
    head = await asyncio.to_thread(_head, services, artifact.path, PREVIEW)
    media = next((m for magic, m in _IMAGES.items() if head.startswith(magic)), None)
    if media is not None:
        if artifact.size > LARGEST_IMAGE:
            message = f"pictures of more than {LARGEST_IMAGE} bytes are not shown; download it"
            raise TooLarge(message, limit=LARGEST_IMAGE)
        whole = await asyncio.to_thread(_head, services, artifact.path, artifact.size)
        return Response(whole, media_type=media, headers=_POLICY)
    text = _text(head)
    if text is None:
        raise NotFound("there is no preview of such a file; download it")
    cut = "true" if artifact.size > len(head) else "false"
    headers = {**_POLICY, "X-Truncated": cut}
    return Response(text.encode(), media_type="text/plain; charset=utf-8", headers=headers)


def _head(services: Services, key: str, size: int) -> bytes:
    with services.store.open(key) as file:
        return file.read(size)


def _text(head: bytes) -> str | None:
    """Return text in UTF-8, of which the end may be cut; None for anything else."""
    if _CONTROL & frozenset(head):
        return None
    for cut in range(4):
        try:
            return head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


async def _whole(
    services: Services,
    given: Checkpoint | Artifact,
    wanted: str | None,
    headers: Mapping[str, str],
) -> Response:
    file, size = await asyncio.to_thread(services.store.open, given.path), given.size
    found = {**headers, **_POLICY, "Accept-Ranges": "bytes", "ETag": f'"{given.sha256}"'}
    span, status = span_of(wanted, size), 200
    if span is not None:
        first, last = span
        status, found["Content-Range"] = 206, f"bytes {first}-{last}/{size}"
    else:
        first, last = 0, size - 1
    found["Content-Length"] = str(last - first + 1)
    pieces = _pieces(file, first, last - first + 1)
    return StreamingResponse(pieces, status, found, media_type=OCTETS)


def span_of(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that a `Range` asks for, None for the whole file.

    Several ranges, and what can't be read or met, are answered by the whole (RFC 9110, 14.2).
    """
    found = _RANGE.fullmatch(wanted.strip()) if wanted is not None else None
    if found is None or not size:
        return None
    begin, end = found.groups()
    if begin:
        first, last = int(begin), min(int(end), size - 1) if end else size - 1
    elif end:
        first, last = max(0, size - int(end)), size - 1
    else:
        return None
    return (first, last) if first <= last else None


async def _pieces(file: BinaryIO, first: int, left: int) -> AsyncIterator[bytes]:
    try:
        if first:
            await asyncio.to_thread(file.seek, first)
        while left:
            data = await asyncio.to_thread(file.read, min(_CHUNK, left))
            if not data:
                raise NotFound("the file is shorter than it was")
            left -= len(data)
            yield data
    finally:
        file.close()


def _attached(name: str) -> dict[str, str]:
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    names = f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, '')}"
    return {"Content-Disposition": f"attachment; {names}"}


def _said(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "X-Checkpoint-Step": str(checkpoint.step),
        "X-Checkpoint-Sha256": checkpoint.sha256,
    }
