"""Requests to a store that the server signed: what they share, and how they stay out of logs.

A signed URL is a right of its own for some minutes, so it is written nowhere. The server's token is
never sent along.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx

from tuner.client.address import tls_context
from tuner.errors import NotFound, ServerUnreachable, TunerError

CHUNK = 1 << 20
STORE_S = 60.0
LOOPBACK: Mapping[str, None] = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))
"""Hosts that are reached without the environment's proxy."""
_SIGNED = re.compile(r"(?i)([?&](?:X-Amz-[A-Za-z-]+|Signature|sig|X-Goog-[A-Za-z-]+)=)[^&\s\"']+")


class Masked(logging.Filter):
    """Take signatures out of the URLs that httpx logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through, masked."""
        if isinstance(record.args, tuple) and any(isinstance(a, httpx.URL) for a in record.args):
            record.args = tuple(
                masked(str(a)) if isinstance(a, httpx.URL) else a for a in record.args
            )
        return True


def masked(text: str) -> str:
    """Return a text with the signatures of its URLs taken out."""
    return _SIGNED.sub(r"\1***", text)


def store_context(ca: str | Path | None) -> ssl.SSLContext | bool:
    """Return how a store's certificate is checked: by the system, or the server's authority."""
    context = tls_context(ca)
    if isinstance(context, ssl.SSLContext):
        context.load_default_certs()
    return context


def refused(response: httpx.Response) -> TunerError:
    """Return what a store's refusal means. Its own words, which name the request, stay out."""
    if response.status_code == 404:
        return NotFound("the artifact store has no such file")
    return ServerUnreachable(f"the artifact store answered {response.status_code}")


def unreachable(exc: httpx.TransportError) -> ServerUnreachable:
    """Return what a failure to reach a store means."""
    return ServerUnreachable(f"the artifact store can't be reached ({type(exc).__name__})")


logging.getLogger("httpx").addFilter(Masked())
