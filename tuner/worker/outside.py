"""The store of files, as a worker reaches it: by requests that the server signed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tuner.client.signed import CHUNK, LOOPBACK, STORE_S, refused, store_context, unreachable
from tuner.wire import UploadPlace


class Outside:
    """A store beside the server. Nothing is sent to it but the file and what was signed."""

    def __init__(
        self, *, ca: Path | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(STORE_S, connect=5.0),
            verify=store_context(ca),
            transport=transport,
            follow_redirects=False,
            mounts=LOOPBACK,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def put(self, place: UploadPlace, path: Path) -> None:
        """Put a file at a place that has a URL, streamed.

        Raises:
            ServerUnreachable: the store can't be reached, or refused it.
        """
        try:
            response = await self._http.put(
                str(place.url), headers=place.headers, content=pieces(path)
            )
        except httpx.TransportError as exc:
            raise unreachable(exc) from exc
        if not response.is_success:
            raise refused(response)

    async def get(self, url: str, path: Path) -> str:
        """Fetch a file to `path`; return its SHA-256 in hexadecimal.

        Raises:
            NotFound: the store has no such file.
            ServerUnreachable: the store can't be reached, or refused it.
        """
        try:
            async with self._http.stream("GET", url) as response:
                if not response.is_success:
                    raise refused(response)
                return await save(response, path)
        except httpx.TransportError as exc:
            raise unreachable(exc) from exc


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """Yield a file piece by piece, read in threads."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK):
            yield piece


async def save(response: httpx.Response, path: Path) -> str:
    """Write a body to `path`; return its SHA-256 in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("wb") as file:
        async for piece in response.aiter_bytes(CHUNK):
            sha.update(piece)
            await asyncio.to_thread(file.write, piece)
    return sha.hexdigest()
