"""Clocks that are wrong, for processes that a test starts."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path

_SOURCE = Path(__file__).with_name("daytime.c")
_SITE = """
import os, selectors, time
_rate, _monotonic, _select = float(os.environ["MONOTONIC_RATE"]), time.monotonic, \
selectors.EpollSelector.select
_start = _monotonic()
time.monotonic = lambda: _start + (_monotonic() - _start) * _rate
selectors.EpollSelector.select = lambda self, timeout=None: _select(
    self, timeout / _rate if timeout is not None and timeout > 0 else timeout
)
"""


def compiled(folder: Path) -> Path:
    """Compile the library that gives a process its own time of day."""
    library = folder / "daytime.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


class DayTime:
    """A time of day that is `off` by seconds and goes at a `rate`, and can be set at any time."""

    def __init__(self, library: Path, off: float = 0.0, rate: float = 1.0) -> None:
        self._file = library.with_name(f"daytime-{time.monotonic_ns()}")
        self._library = library
        self._file.write_bytes(struct.pack("ddd", off, rate, time.time()))

    @property
    def env(self) -> dict[str, str]:
        """What the environment of a process needs to live by this time."""
        return {"LD_PRELOAD": str(self._library), "DAYTIME_FILE": str(self._file)}

    def set(self, off: float) -> None:
        """Move the time of day of all that live by it, at once."""
        number = os.open(self._file, os.O_WRONLY)
        os.pwrite(number, struct.pack("d", off), 0)
        os.close(number)


def monotonic_rate(folder: Path, rate: float) -> dict[str, str]:
    """Return what makes a Python process's monotonic seconds, and its event loop's, go so fast."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITE)
    return {"PYTHONPATH": str(site), "MONOTONIC_RATE": str(rate)}
