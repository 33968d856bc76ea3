"""What the server has not acknowledged yet, kept in order; on disk while the server is away.

Guarantees: entries come back in the order they were added; a file is written only while `persist`
is in force, readable by its owner alone, and gone once everything was acknowledged; the files of
workers that died are taken over by the next one on this node that talks to the same server.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

_LOG = logging.getLogger("tuner.worker")

Kind = Literal["report", "finish", "release"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A write to the server: a message of `tuner.wire` as JSON, and the lease it is about."""

    kind: Kind
    lease: str
    body: dict[str, Any]

    def line(self) -> str:
        """Return the entry as a line of a file."""
        return json.dumps({"kind": self.kind, "lease": self.lease, "body": self.body}) + "\n"


class Spool:
    """The entries of one worker.

    Args:
        folder: where files go; made if absent.
        url: the server the entries are for.
        limit: how many reports are kept; `add` drops the oldest beyond.
    """

    def __init__(self, folder: Path, url: str, *, limit: int) -> None:
        self._folder = folder
        self._prefix = f"spool-{hashlib.sha256(url.encode()).hexdigest()[:16]}-"
        self._limit = limit
        self._entries: dict[int, Entry] = {}
        self._reports = 0
        self._next = 0
        self._lines = 0
        self._file: TextIOWrapper | None = None
        self._path = folder / f"{self._prefix}{uuid.uuid4().hex[:12]}.jsonl"

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def path(self) -> Path:
        """Where this spool's file lies while it has one."""
        return self._path

    def add(self, entry: Entry) -> tuple[int, int | None]:
        """Keep an entry; return its key, and the key of a report that was dropped for it."""
        key, self._next = self._next, self._next + 1
        self._entries[key] = entry
        dropped = None
        if entry.kind == "report":
            self._reports += 1
            if self._reports > self._limit:
                dropped = next(k for k, e in self._entries.items() if e.kind == "report")
                self._forget(dropped)
        if self._file is not None:
            self._append(entry)
        return key, dropped

    def remove(self, key: int) -> None:
        """Forget an entry that was acknowledged; the last one takes the file with it."""
        if key in self._entries:
            self._forget(key)
        if not self._entries:
            self._drop_file()

    def persist(self) -> None:
        """Keep the entries on disk, too, from now on until all are acknowledged."""
        if self._file is not None or not self._entries:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(number, "a", encoding="utf-8")
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            _LOG.warning("reports are kept in memory only: %s", exc)
            self._drop_file()
            return
        self._rewrite()

    def close(self) -> None:
        """Let go of the file, which stays if entries are left for another worker."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def recover(self) -> Iterator[Entry]:
        """Yield what dead workers left, oldest file first; a file goes once its entries are added.

        The caller adds each entry before it asks for the next.
        """
        files = sorted(self._folder.glob(self._prefix + "*.jsonl"), key=_age)
        for path in files:
            with contextlib.suppress(OSError), path.open("r+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield from _read(file)
                self.persist()
                path.unlink()

    def _forget(self, key: int) -> None:
        if self._entries.pop(key).kind == "report":
            self._reports -= 1

    def _append(self, entry: Entry) -> None:
        assert self._file is not None
        try:
            if self._lines > 2 * len(self._entries) + 1000:
                self._rewrite()
                return
            self._file.write(entry.line())
            self._file.flush()
            self._lines += 1
        except OSError as exc:
            _LOG.warning("reports are kept in memory only: %s", exc)
            self._drop_file()

    def _rewrite(self) -> None:
        assert self._file is not None
        try:
            self._file.truncate(0)
            self._file.writelines(entry.line() for entry in self._entries.values())
            self._file.flush()
            self._lines = len(self._entries)
        except OSError as exc:
            _LOG.warning("reports are kept in memory only: %s", exc)
            self._drop_file()

    def _drop_file(self) -> None:
        self._lines = 0
        with contextlib.suppress(OSError):
            self.close()
        self._file = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(file: TextIOWrapper) -> Iterator[Entry]:
    for line in file:
        try:
            found = json.loads(line)
            yield Entry(kind=found["kind"], lease=found["lease"], body=found["body"])
        except (ValueError, KeyError, TypeError):
            _LOG.warning("a line of %s is cut off and skipped", file.name)
