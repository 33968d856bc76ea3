"""What a trial prints: its end in memory, its beginning and its end in a bounded file."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import BinaryIO

RING = 64 << 10
"""Bytes of the end that are kept."""

_LOG = logging.getLogger("tuner.worker")


class Output:
    """The output of one trial.

    Args:
        path: the file, None to write none.
        head: bytes written to it as they come; of what follows only the last `RING` bytes.
    """

    def __init__(self, path: Path | None, *, head: int) -> None:
        self._ring = bytearray()
        self._left = head
        self._cut = 0
        self._file = _open(path)

    def write(self, data: bytes) -> None:
        """Take what was printed."""
        self._ring += data[-RING:]
        if len(self._ring) > RING:
            del self._ring[:-RING]
        if self._file is not None and self._left > 0:
            with contextlib.suppress(OSError):
                self._file.write(data[: self._left])
                self._file.flush()
        self._cut += max(0, len(data) - max(0, self._left))
        self._left -= len(data)

    def tail(self, most: int) -> str:
        """Return the last `most` bytes as text."""
        return bytes(self._ring[-most:]).decode("utf-8", "replace")

    def close(self) -> None:
        """Write the end, if it was cut off, and close the file."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            if self._cut:
                kept = min(self._cut, len(self._ring))
                if self._cut > kept:
                    self._file.write(b"\n... %d bytes left out ...\n" % (self._cut - kept))
                self._file.write(self._ring[-kept:])
            self._file.close()
        self._file = None


def log_path(folder: Path, study: str, number: int, attempt: int) -> Path:
    """Return where a trial's output goes; the study's name is made fit for a file."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in study).lstrip(".") or "_"
    return folder / f"{safe}-{number}-{attempt}.log"


def prune_logs(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` logs."""
    with contextlib.suppress(OSError):
        logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in logs[keep:]:
            path.unlink(missing_ok=True)


def _open(path: Path | None) -> BinaryIO | None:
    if path is None:
        return None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as exc:
        _LOG.warning("the trial's output is not written: %s", exc)
        return None
