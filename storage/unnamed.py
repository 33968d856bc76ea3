"""Files of trials that the database does not know: no row names them, and no attempt printed them.

An attempt's log is named after its lease, so that one that a restored database has forgotten is
never taken for that of a later attempt with the same numbers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, select

from storage import tables
from storage.artifact_rows import all_paths

LOG_NAME = re.compile(r"log-([0-9]{1,10})-([0-9a-f]{12})-([0-9]{1,18})-([0-9]{1,18})\.txt")
"""A piece of a log: the attempt, its lease, the places of the first byte and line."""
_RESTORED = re.compile(r"restored-([0-9a-f]{12})-")
_FETCH = 10_000


def lease_digest(token: str) -> str:
    """Return what stands for a lease in a log's name: it gives nobody the lease."""
    if found := _RESTORED.match(token):
        return found[1]
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def restored_lease(token: str) -> str:
    """Return a token that nobody knows for an attempt whose lease a restore makes void."""
    return f"restored-{lease_digest(token)}-{secrets.token_urlsafe(18)}"


def unnamed(connection: Connection, keys: Iterable[str]) -> list[str]:
    """Return those of the keys in a store that belong to no checkpoint, artifact or attempt."""
    query = select(tables.attempts.c.token)
    tokens = connection.execute(query).yield_per(_FETCH).scalars()
    leases = {lease_digest(token) for token in tokens}
    named = set(all_paths(connection))
    return [key for key in keys if key not in named and _lease(key) not in leases]


def _lease(key: str) -> str | None:
    found = LOG_NAME.fullmatch(key.rpartition("/")[2])
    return found and found[2]
