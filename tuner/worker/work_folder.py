"""A worker's folder for its trials' files, and those that killed workers left."""

from __future__ import annotations

import fcntl
import glob
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOG = logging.getLogger("tuner.worker")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MADE_S = 60.0
"""A younger folder may be one whose worker has yet to take its lock."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder below the one for temporary files, locked while it is used and removed after.

    First what this user's dead workers left there goes: their folders, whose locks are free.
    Folders of other machines, which may share the place, are left: their locks might not show here.
    """
    prefix = _prefix()
    _sweep(Path(tempfile.gettempdir()), prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    with _opened(folder) as number:
        fcntl.flock(number, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _prefix() -> str:
    try:
        kernel = _BOOT_ID.read_text(encoding="ascii")[:8]
    except OSError:
        kernel = socket.gethostname()
    return f"tuner-work-{kernel}-"


def _sweep(place: Path, prefix: str) -> None:
    for folder in place.glob(f"{glob.escape(prefix)}*"):
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
