"""One check of a database, from its own integrity to our invariants and files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from storage.check.engines import INTEGRITY, broken_constraints, sequences_behind
from storage.check.files import lost_files
from storage.check.finding import Finding
from storage.check.params import odd_params
from storage.check.rules import RULES
from storage.snapshot import snapshot
from storage.stores import FolderStore, Store


def check(
    url: str, artifacts: Path | Store | None = None, *, hashes: bool = False
) -> list[Finding]:
    """Return every place where a database breaks a rule; safe while a server owns it.

    All is read in one transaction. With `artifacts`, the folder or store of trials' files, also
    looks whether those that are kept are there with the right size, and with `hashes` reads them.

    Raises:
        InvalidInput: the URL names no database we can use.
        NotFound: there is no such file.
        SchemaMismatch: it holds no tables of ours, or those of another version.
        Unavailable: it does not answer, or the store does not.
    """
    try:
        with snapshot(url) as connection:
            found = list(broken_constraints(connection))
            if any(f.rule == INTEGRITY for f in found):
                return found
            found += _findings(connection)
    except Exception as exc:
        if (damage := _damage(exc)) is None:
            raise
        return [damage]
    if artifacts is not None:
        store = FolderStore(artifacts) if isinstance(artifacts, Path) else artifacts
        found += lost_files(url, store, hashes=hashes)
    return found


def _findings(connection: Connection) -> Iterator[Finding]:
    for rule in RULES:
        for row in connection.execute(text(rule.query)).mappings():
            yield rule.finding(dict(row))
    yield from odd_params(connection)
    yield from sequences_behind(connection)


def _damage(exc: BaseException | None) -> Finding | None:
    """Return what a damaged SQLite file means, None for any other error."""
    while exc is not None:
        origin = exc.orig if isinstance(exc, DatabaseError) else exc
        if getattr(origin, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            return Finding(rule=INTEGRITY, message=f"the file is damaged: {origin}")
        exc = exc.__cause__
    return None
