"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tuner.errors import Conflict, InvalidInput, StorageFull


@contextmanager
def placed(target: Path, *, replace: bool) -> Iterator[Path]:
    """Yield an empty file beside `target`, for this user alone; put it there on a good end.

    Raises:
        Conflict: `target` exists, and `replace` is not set.
        InvalidInput: its folder does not exist, or can't be written.
        StorageFull: the disk is full.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    if target.exists() and not replace:
        raise Conflict(f"{target} exists; give --force to replace it")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        flush(part)
        part.replace(target) if replace else target.hardlink_to(part)
        flush(target.parent)
    except FileExistsError as exc:
        raise Conflict(f"{target} exists; give --force to replace it") from exc
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise InvalidInput(f"the folder {target.parent} does not exist") from exc
    except PermissionError as exc:
        raise InvalidInput(f"{target.parent} can't be written: {exc.strerror}") from exc
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise StorageFull(f"the disk is full: {target} was not written") from exc
        raise InvalidInput(f"{target} can't be written: {exc.strerror}") from exc
    finally:
        for file in (part, *(Path(f"{part}{end}") for end in ("-journal", "-wal", "-shm"))):
            file.unlink(missing_ok=True)


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database that others may be writing, as one file without a journal beside it."""
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")


def flush(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
