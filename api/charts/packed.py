"""Replies large enough to be compressed on the way."""

from __future__ import annotations

import asyncio
import gzip

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

_LEVEL = 5
_LEAST = 1024


async def packed(request: Request, made: BaseModel) -> Response:
    """Return a message as JSON, compressed if the caller takes it so."""
    body = await asyncio.to_thread(lambda: made.model_dump_json().encode())
    headers = {"Vary": "Accept-Encoding", "Cache-Control": "no-store"}
    if len(body) >= _LEAST and takes_gzip(request.headers.get("accept-encoding", "")):
        body = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type="application/json")


def takes_gzip(header: str) -> bool:
    """Tell whether an `Accept-Encoding` header names gzip without refusing it."""
    for part in header.split(","):
        name, _, rest = part.strip().partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return rest.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
