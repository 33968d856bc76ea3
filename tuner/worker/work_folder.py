"""A worker's folder for its trials' files, and those that killed workers left."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOG = logging.getLogger("tuner.worker")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PREFIX = "tuner-work-"
_NAME = re.compile(rf"{_PREFIX}([0-9a-f]{{8}})-([0-9a-f]{{8}})-.*")
_MADE_S = 60.0
"""A younger folder may be one whose worker has yet to take its lock."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder below the one for temporary files, locked while it is used and removed after.

    First what this user's dead workers left there goes: their folders, whose locks are free.
    Folders of other machines, which may share the place, are left: their locks might not show here.
    A folder is this machine's if it bears the name of its host or of its running kernel: a host
    keeps its name when it boots anew, and containers have names of their own above one kernel.
    """
    host, kernel = _host(), _kernel()
    _sweep(Path(tempfile.gettempdir()), host, kernel)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{host}-{kernel}-"))
    with _opened(folder) as number:
        fcntl.flock(number, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _kernel() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii")[:8]
    except OSError:
        return _host()


def _sweep(place: Path, host: str, kernel: str) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        found = _NAME.fullmatch(folder.name)
        if found is None or (found[1] != host and found[2] != kernel):
            continue
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
