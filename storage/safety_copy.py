"""A copy of an SQLite database as it was, kept before it is upgraded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from storage.place import copy_database, placed


def keep_copy(engine: Engine, label: str) -> Path | None:
    """Copy an SQLite database beside itself as `FILE.label` and return where; None elsewhere.

    An earlier copy of that name is replaced once this one is whole and on the disk.

    Raises:
        InvalidInput: the folder can't be written.
        StorageFull: the disk is full.
    """
    if engine.dialect.name != "sqlite":
        return None
    file = Path(str(engine.url.database)).absolute()
    target = file.with_name(f"{file.name}.{label}")
    with placed(target, replace=True) as part, closing(sqlite3.connect(file)) as source:
        copy_database(source, part)
    return target
