"""A request's ids: `X-Request-ID` if sane, else a new one; its span's. Known to who answers."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from typing import NamedTuple

HEADER = b"x-request-id"


class Place(NamedTuple):
    """A span by its trace's id and its own, in hexadecimal."""

    trace_id: str
    span_id: str


CURRENT: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being answered, empty outside of one."""
TRACE: ContextVar[Place | None] = ContextVar("trace", default=None)
"""Where the traces have the request being answered, None without traces."""

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_process = secrets.token_hex(6)
_numbers = itertools.count(1)


def id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that a request's headers carry, or a new one."""
    for name, value in headers:
        if name == HEADER and _SANE.fullmatch(value):
            return value.decode("ascii")
    return f"{_process}-{next(_numbers):x}"
