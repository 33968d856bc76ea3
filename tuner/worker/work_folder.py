"""A worker's folder for its trials' files, and those that killed workers left."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOG = logging.getLogger("tuner.worker")
_PREFIX = "tuner-work-"
_MADE_S = 60.0
"""A younger folder may be one whose worker has yet to take its lock."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder below the one for temporary files, locked while it is used and removed after.

    First what this user's dead workers left there goes: their folders, whose locks are free.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with _opened(folder) as number:
        fcntl.flock(number, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            about = folder.lstat()
            if about.st_uid != os.geteuid() or time.time() - about.st_mtime < _MADE_S:
                continue
            with _opened(folder) as number:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _LOG.info("removing %s, which a killed worker left", folder)
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield number
    finally:
        os.close(number)
