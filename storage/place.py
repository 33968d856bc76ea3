"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from storage.engine import is_full
from tuner.errors import Conflict, InvalidInput, StorageFull


@contextmanager
def placed(target: Path, *, replace: bool) -> Iterator[Path]:
    """Yield an empty file beside `target`, for this user alone; put it there on a good end.

    A link is followed: the file that it leads to is written.

    Raises:
        Conflict: `target` exists, and `replace` is not set.
        InvalidInput: it is no regular file; its folder does not exist, or can't be written.
        StorageFull: the disk is full.
    """
    _require_free(target, replace=replace)
    target = Path(os.path.realpath(target))
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with named_when_full(target):
            yield part
            flush(part)
        part.replace(target) if replace else target.hardlink_to(part)
        flush(target.parent)
    except FileExistsError as exc:
        raise Conflict(f"{target} exists; give --force to replace it") from exc
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise InvalidInput(_why_not_there(target.parent)) from exc
    except PermissionError as exc:
        raise InvalidInput(f"{target.parent} can't be written: {exc.strerror}") from exc
    except OSError as exc:
        if is_full(exc):
            raise disk_full(target) from None
        raise InvalidInput(f"{target} can't be written: {exc.strerror}") from exc
    finally:
        for file in (part, *(Path(f"{part}{end}") for end in ("-journal", "-wal", "-shm"))):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)


def _require_free(target: Path, *, replace: bool) -> None:
    try:
        if not target.exists():
            return
    except PermissionError as exc:
        raise InvalidInput(f"{target.parent} can't be read: {exc.strerror}") from exc
    if not target.is_file():
        raise InvalidInput(f"{target} is no regular file")
    if not replace:
        raise Conflict(f"{target} exists; give --force to replace it")


def _why_not_there(folder: Path) -> str:
    if folder.is_dir():
        return f"{folder} can't be written: no file can be made there"
    return f"the folder {folder} does not exist"


@contextmanager
def named_when_full(target: Path) -> Iterator[None]:
    """Name the file that was to be written where a full disk keeps it from being so."""
    try:
        yield
    except Exception as exc:
        if is_full(exc):
            raise disk_full(target) from None
        raise


def disk_full(target: Path) -> StorageFull:
    """Return the error; raise it `from None`, as its cause names the part, if any file."""
    return StorageFull(f"the disk is full: {target} was not written")


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database that others may be writing, as one file without a journal beside it."""
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        # Alone, it needs no `-shm` file, whose growth on a full disk is a mere I/O error.
        copy.execute("PRAGMA locking_mode=EXCLUSIVE")
        source.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")


def flush(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
