"""Any store that fsspec knows. Files go through this server, from a part on its own disk."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from storage.stores.base import Stat, Store, inside
from storage.stores.folder import FolderStore
from tuner.errors import InvalidInput, NotFound, TunerError, Unavailable

RETRY_AFTER_S = 5
_PARTS = ".parts"
_TIMES = ("LastModified", "last_modified", "mtime", "created", "updated")
_log = logging.getLogger(__name__)


class RemoteStore(Store):
    """Files below a URL.

    Raises:
        InvalidInput: fsspec knows no such store, or the package for it is missing.
    """

    def __init__(self, url: str, *, staging: Path, **options: Any) -> None:
        self.name = url.rstrip("/")
        self._staging = FolderStore(staging)
        self.fs, self._root = filesystem(self.name, **options)

    def check(self) -> None:
        """Raise Unavailable if the store does not answer."""
        self.size("nothing")

    def part(self, key: str) -> Path:
        """Return a new file's path in the folder for what is on its way."""
        return self._staging.part(f"{_PARTS}/{secrets.token_hex(8)}")

    def take(self, part: Path, key: str) -> None:
        """Upload a part, and delete it."""
        with self._translated():
            self.fs.put_file(str(part), self.path(key))
        part.unlink(missing_ok=True)

    def size(self, key: str) -> int | None:
        """Return a file's size."""
        try:
            with self._translated():
                found = self.fs.info(self.path(key))
                return int(found["size"]) if found.get("type", "file") == "file" else None
        except (NotFound, InvalidInput):
            return None

    def open(self, key: str) -> BinaryIO:
        """Open a file. Raises NotFound."""
        with self._translated():
            return cast(BinaryIO, self.fs.open(self.path(key), "rb", block_size=4 << 20))

    def delete(self, key: str) -> None:
        """Delete a file, or a part on this machine."""
        if key.startswith(f"{_PARTS}/"):
            self._staging.delete(key)
            return
        try:
            with self._translated():
                self.fs.rm_file(self.path(key))
        except NotFound:
            return

    def delete_all(self, folder: str) -> None:
        """Delete all files below a folder of keys."""
        try:
            with self._translated():
                self.fs.rm(self.path(folder), recursive=True)
        except NotFound:
            return

    def copy(self, source: str, target: str) -> None:
        """Copy a file within the store. Raises NotFound."""
        with self._translated():
            self.fs.cp_file(self.path(source), self.path(target))

    def listing(self, folder: str = "") -> Iterator[Stat]:
        """Yield all files below a folder of keys, and the parts on this machine."""
        yield from self._parts(folder)
        base = self.path(folder) if folder else self._root
        try:
            with self._translated():
                found: Mapping[str, Any] = self.fs.find(base, detail=True)
        except NotFound:
            return
        for path, info in found.items():
            key = path.removeprefix(self._root).lstrip("/")
            yield Stat(key=key, size=int(info.get("size") or 0), modified=_modified(info))

    def _parts(self, folder: str) -> Iterator[Stat]:
        if not folder:
            yield from self._staging.listing(_PARTS)

    def path(self, key: str) -> str:
        """Return the path by which fsspec knows a key. Raises InvalidInput."""
        return f"{self._root}/{inside(key)}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TunerError:
            raise
        except FileNotFoundError as exc:
            raise NotFound("the file is gone") from exc
        except Exception as exc:
            # What stores and their libraries raise has no common root.
            _log.warning("%s: %s: %s", self.name, type(exc).__name__, str(exc)[:300])
            why = "refuses this server" if isinstance(exc, PermissionError) else "does not answer"
            message = f"the artifact store {why}"
            raise Unavailable(message, retry_after=RETRY_AFTER_S) from exc


def filesystem(url: str, **options: Any) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path of its root there.

    Raises:
        InvalidInput: fsspec knows no such store, or the package for it is missing.
    """
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        fs, root = url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as exc:
        package = "pip install 'tuner[s3]'" if scheme in ("s3", "s3a") else str(exc)
        raise InvalidInput(f"{scheme}:// needs a package that is missing: {package}") from exc
    except ValueError as exc:
        raise InvalidInput(f"{url!r} names no store: {exc}") from exc
    if not root.strip("/"):
        raise InvalidInput(f"{url!r} names no place in a store, such as s3://bucket/tuner")
    return fs, root.rstrip("/")


def _modified(info: Mapping[str, Any]) -> datetime:
    found = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    if isinstance(found, int | float):
        return datetime.fromtimestamp(found, UTC)
    if isinstance(found, datetime):
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return datetime.now(UTC)
