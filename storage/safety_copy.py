"""A copy of an SQLite database as it was, kept before it is upgraded."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine


def keep_copy(engine: Engine, label: str) -> Path | None:
    """Copy an SQLite database beside itself as `FILE.label` and return where; None elsewhere.

    An earlier copy of that name is replaced once this one is whole and on the disk.
    """
    if engine.dialect.name != "sqlite":
        return None
    file = Path(str(engine.url.database)).absolute()
    target = file.with_name(f"{file.name}.{label}")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(part)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    _sync(part)
    part.replace(target)
    _sync(target.parent)
    return target


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
