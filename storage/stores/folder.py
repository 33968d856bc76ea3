"""A store in a folder of this machine: each file is flushed, then renamed into its place."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from storage.place import flush
from storage.stores.base import Stat, Store, inside
from tuner.errors import InvalidInput, NotFound, StorageFull, Unavailable

RETRY_AFTER_S = 1
_PASSING = {
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ESTALE,
    errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH,
}  # fmt: skip
"""Reasons not to open a file that say nothing of the file: of this process, or of a mount."""


class FolderStore(Store):
    """Files below `root`. A file that `take` returned from survives a loss of power."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def check(self) -> None:
        """Raise Unavailable if the folder can't be written to."""
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise Unavailable(f"the folder {self.root} can't be written to")

    def part(self, key: str) -> Path:
        """Return a new file's path beside its place, so that it can be renamed."""
        folder = self._path(key).parent
        with _full():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f".{secrets.token_hex(8)}.part"

    def take(self, part: Path, key: str) -> None:
        """Rename a part to its place, and flush the folders above."""
        target = self._path(key)
        with _full():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.replace(target)
            folder = target.parent
            while True:
                flush(folder)
                if folder == self.root:
                    return
                folder = folder.parent

    def size(self, key: str) -> int | None:
        """Return a file's size, also of one that can't be read. Raises Unavailable."""
        try:
            found = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError, InvalidInput):
            return None
        except OSError as exc:
            raise Unavailable(f"{key} can't be reached", retry_after=RETRY_AFTER_S) from exc
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, key: str) -> BinaryIO:
        """Open a file. Raises NotFound if it is gone or can't be read, Unavailable."""
        try:
            return self._path(key).open("rb")
        except OSError as exc:
            if exc.errno in _PASSING:
                raise Unavailable(f"{key} can't be opened", retry_after=RETRY_AFTER_S) from exc
            self.size(key)
            raise NotFound("the file is gone, or can't be read") from exc

    def delete(self, key: str) -> None:
        """Delete a file."""
        with _full():
            self._path(key).unlink(missing_ok=True)

    def delete_all(self, folder: str) -> None:
        """Delete a folder with all that is in it."""
        with _full():
            try:
                shutil.rmtree(self._path(folder))
            except FileNotFoundError:
                return

    def copy(self, source: str, target: str) -> None:
        """Link a file a second time: it takes no room. Raises NotFound."""
        place = self._path(target)
        with _full():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                os.link(self._path(source), place)
            except FileNotFoundError as exc:
                raise NotFound("the file is gone") from exc

    def listing(self, folder: str = "") -> Iterator[Stat]:
        """Walk the folder; links are not followed."""
        root = self._path(folder) if folder else self.root
        for place, _, names in os.walk(root):
            for name in names:
                path = Path(place, name)
                try:
                    found = path.lstat()
                except FileNotFoundError:
                    continue
                key = path.relative_to(self.root).as_posix()
                modified = datetime.fromtimestamp(found.st_mtime, UTC)
                yield Stat(key=key, size=found.st_size, modified=modified)

    def _path(self, key: str) -> Path:
        return self.root / inside(key)


@contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StorageFull("the file could not be written", retry_after=RETRY_AFTER_S) from exc
