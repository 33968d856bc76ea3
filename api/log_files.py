"""The log of one attempt on disk: its beginning, and its end in pieces of which old ones go.

A piece's name says where it stands in the whole log, so that no index is needed: after a restart
the folder tells everything. `log-2-LEASE-4096-31.txt` is attempt 2, from its 4096th byte, its 31st
line.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from storage.unnamed import LOG_NAME, lease_digest

PIECES = 4
"""Pieces that share a log's bytes: the beginning, and those of the end but the newest."""
KEPT_ATTEMPTS = 5
"""Attempts of a trial whose logs are kept."""


class Piece(NamedTuple):
    """A file of the log: the place of its first byte, the number of its first line, its size."""

    start: int
    line: int
    size: int

    @property
    def end(self) -> int:
        """Where the byte after it stands."""
        return self.start + self.size


class Part(NamedTuple):
    """A stretch of the log that was read. `left_out` bytes before it are no longer kept."""

    left_out: int
    text: bytes


class LogFile:
    """One attempt's log. Safe for threads.

    Guarantees: it never takes more than `most` bytes and one piece; a line is there whole or not;
    each line is stored once, however often it is handed in.

    Args:
        folder: the trial's.
        lease: the attempt's token.
        most: bytes that are kept: a quarter at the beginning, the rest at the end.
    """

    def __init__(self, folder: Path, attempt: int, lease: str, *, most: int) -> None:
        self._folder = folder
        self._whose = (str(attempt), lease_digest(lease))
        self._most = max(1, most // PIECES)
        self._lock = threading.Lock()
        self._pieces: list[Piece] | None = None
        self._lines = 0

    def append(self, first: int, lines: Sequence[str]) -> int:
        """Store lines, of which the first has number `first`; return the number that comes next.

        Those stored before are left out. A gap before the first is taken for lines that are lost.

        Raises:
            OSError: it could not be written.
        """
        with self._lock:
            pieces = self._found()
            self._folder.mkdir(parents=True, exist_ok=True)
            waiting = bytearray()
            new = lines[max(0, self._lines - first) :]
            self._lines = max(self._lines, first)
            for line in new:
                data = f"{line}\n".encode()
                if not pieces or pieces[-1].size + len(waiting) + len(data) > self._most:
                    self._write(waiting)
                    end = pieces[-1].end if pieces else 0
                    pieces.append(Piece(end, self._lines, 0))
                    self._forget()
                waiting += data
                self._lines += 1
            self._write(waiting)
            return self._lines

    def read(self, offset: int) -> tuple[list[Part], int]:
        """Return what is kept from a place on, and the place where it ends.

        A negative place is so many bytes before the end. A place within a line stands for the
        next line's beginning.
        """
        with self._lock:
            pieces = list(self._found())
            end = pieces[-1].end if pieces else 0
            at = max(0, end + offset) if offset < 0 else min(offset, end)
            parts: list[Part] = []
            for piece in pieces:
                if piece.end <= at:
                    continue
                try:
                    text = (self._folder / self._name(piece)).read_bytes()[: piece.size]
                except FileNotFoundError:  # it was deleted, by age or with the study
                    continue
                if at > piece.start:
                    text = self._from_line(text, at - piece.start)
                parts.append(Part(max(0, piece.start - at), text))
                at = piece.end
            return parts, end

    @staticmethod
    def _from_line(text: bytes, at: int) -> bytes:
        if text[at - 1 : at] == b"\n":
            return text[at:]
        found = text.find(b"\n", at)
        return text[found + 1 :] if found >= 0 else b""

    def _write(self, data: bytearray) -> None:
        if not data:
            return
        pieces = self._found()
        last = pieces[-1]
        try:
            with (self._folder / self._name(last)).open("ab") as file:
                file.truncate(last.size)  # after a line that was not written to its end
                file.write(data)
        except OSError:
            self._pieces = None
            raise
        pieces[-1] = last._replace(size=last.size + len(data))
        data.clear()

    def _name(self, piece: Piece) -> str:
        return f"log-{'-'.join(self._whose)}-{piece.start}-{piece.line}.txt"

    def _forget(self) -> None:
        """Delete pieces from the middle until the rest fits."""
        pieces = self._found()
        while len(pieces) > PIECES + 1:
            gone = pieces.pop(1)
            (self._folder / self._name(gone)).unlink(missing_ok=True)

    def _found(self) -> list[Piece]:
        if self._pieces is None:
            self._pieces = self._load()
        return self._pieces

    def _load(self) -> list[Piece]:
        found = sorted(
            Piece(int(match[3]), int(match[4]), path.stat().st_size)
            for path, match in logs_in(self._folder)
            if match.groups()[:2] == self._whose
        )
        if found:
            found[-1] = self._whole(found[-1])
        return found

    def _whole(self, last: Piece) -> Piece:
        """Return the piece without a line that was not written to its end; count its lines."""
        text = (self._folder / self._name(last)).read_bytes()
        size = text.rfind(b"\n") + 1
        self._lines = last.line + text.count(b"\n")
        return last._replace(size=size)


def logs_in(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """Return the pieces of logs in a trial's folder, with attempt, lease, place and line."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    found = ((folder / name, LOG_NAME.fullmatch(name)) for name in names)
    return [(path, match) for path, match in found if match is not None]


def drop_old(folder: Path, attempt: int) -> None:
    """Delete the logs of attempts long before this one."""
    for path, match in logs_in(folder):
        if int(match[1]) <= attempt - KEPT_ATTEMPTS:
            path.unlink(missing_ok=True)
