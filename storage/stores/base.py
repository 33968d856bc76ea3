"""The port to a store of files, and what it promises."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tuner.errors import InvalidInput, NotFound

_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Stat:
    """A file as a store lists it: its size in bytes, and when it was written (aware)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A request that a store takes from anyone who shows it, for a while."""

    method: str
    url: str
    headers: Mapping[str, str]
    expires_s: float


class Store(ABC):
    """Files by key: relative POSIX paths such as `3/17/1-20-0123456789ab.safetensors`.

    Guarantees: a file is whole or absent; what `take` returned from survives a crash of this
    machine as far as the store promises; a key that is absent is no error for `delete`. Methods
    block: call them in threads.

    All raise StorageFull where there is no room left, and Unavailable where the store does not
    answer or refuses.
    """

    name: str
    """The store as people wrote it, without credentials."""

    @abstractmethod
    def part(self, key: str) -> Path:
        """Return where to write, on this machine, what shall be taken as `key`."""

    @abstractmethod
    def take(self, part: Path, key: str) -> None:
        """Move a file that is whole and flushed into the store."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return a file's size in bytes, None if there is none."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """Open a file for reading; it can seek. Raises NotFound if none can be read."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a file."""

    @abstractmethod
    def delete_all(self, folder: str) -> None:
        """Delete all files below a folder of keys."""

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Make a second file of the same content. Raises NotFound."""

    @abstractmethod
    def listing(self, folder: str = "") -> Iterator[Stat]:
        """Yield all files below a folder of keys, parts that were left behind included."""

    @abstractmethod
    def check(self) -> None:
        """Raise Unavailable, with the reason, if the store can't be used now."""

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 in hexadecimal that the store itself computed, None if it tells none.

        It costs no reading of the file.
        """
        return None

    def sign_put(self, key: str, *, size: int, sha256: str, expires_s: float) -> Signed | None:
        """Return a request that puts exactly this content at `key`; None if it can't be had."""
        return None

    def sign_get(self, key: str, *, expires_s: float) -> Signed | None:
        """Return a request that gets a file; None if it can't be had."""
        return None


def read_sha256(store: Store, key: str) -> str | None:
    """Read a file, and return its SHA-256 in hexadecimal; None if it can't be read to its end.

    Raises:
        Unavailable: the store does not answer.
    """
    digest = hashlib.sha256()
    try:
        with store.open(key) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except (NotFound, OSError):
        return None
    return digest.hexdigest()


def inside(key: str) -> PurePosixPath:
    """Return a key as a path below the store's root.

    Raises:
        InvalidInput: it leads out of it.
    """
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InvalidInput(f"{key} lies outside of the artifact store")
    return path
