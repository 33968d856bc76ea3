"""Files and folders that a trial keeps, as files with names."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from tuner.artifact import artifact_name
from tuner.errors import InvalidInput

MOST = 10_000
"""Files that are taken from one folder."""


def collect(path: Path, name: str | None = None) -> list[tuple[str, Path]]:
    """Return the regular files at a path with the names to keep them under.

    A file is kept under `name`, by default its own; what is in a folder under `name/...`. Links in
    a folder that lead out of it are left out, and so is what is no regular file.

    Raises:
        InvalidInput: there is nothing there, a name is not valid, or it is a folder of too much.
    """
    path = Path(path)
    base = name if name is not None else path.resolve().name
    if path.is_dir():
        found = [(f"{base}/{inner}", file) for inner, file in _walk(path)]
    elif path.is_file():
        found = [(base, path)]
    else:
        raise InvalidInput(f"there is no file or folder at {path}")
    if len(found) > MOST:
        raise InvalidInput(f"{path} holds more than {MOST} files")
    try:
        return [(artifact_name(one), file) for one, file in found]
    except ValueError as exc:
        raise InvalidInput(f"{path} can't be kept: {exc}") from exc


def scratch(owner: object, prefix: str) -> Path:
    """Return a new folder for temporary files that goes when its owner does."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    top = root.resolve()
    taken = 0
    for place, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            if not _is_regular(file) or not file.resolve().is_relative_to(top):
                continue
            yield file.relative_to(root).as_posix(), file
            taken += 1
            if taken > MOST:
                return


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False
