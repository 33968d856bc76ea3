"""The trial this code runs for: in the process that was given it, or over the broker around it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from tuner.errors import OutsideTrial
from tuner.handle import TrialHandle

SOCKET = "TUNER_TRIAL_SOCKET"
"""Environment variable that says where a trial's broker listens."""

T = TypeVar("T")


class _Missing:
    """Stands for a default that was not given."""


_MISSING = _Missing()
_OUTSIDE = (
    f"no trial is under way here: a worker sets {SOCKET} for what it runs; to run this by hand, "
    "use current_trial(default=None)"
)
_LOCK = threading.Lock()
_here: tuple[int, TrialHandle] | None = None
_remote: tuple[str, TrialHandle] | None = None


def current_trial(default: T | _Missing = _MISSING) -> TrialHandle | T:
    """Return the trial this code runs for.

    Works in an entrypoint, in the program of a `run.command`, and in whatever these start.

    Args:
        default: returned outside of all trials, so that a script can be run by hand, too; a
            `tuner.LocalTrial`, say, or None.

    Raises:
        OutsideTrial: no trial is under way, and there is no default; or the trial is over.
    """
    global _remote  # noqa: PLW0603 (a process serves one trial at a time)
    with _LOCK:
        if _here is not None and _here[0] == os.getpid():
            return _here[1]
        path = os.environ.get(SOCKET, "")
        if not path:
            if isinstance(default, _Missing):
                raise OutsideTrial(_OUTSIDE)
            return default
        if _remote is None or _remote[0] != path:
            from tuner.worker.remote import RemoteTrial

            _remote = (path, RemoteTrial(Path(path)))
        return _remote[1]


@contextlib.contextmanager
def being(handle: TrialHandle) -> Iterator[None]:
    """Let `current_trial` return `handle` in this process meanwhile, but not in its forks."""
    global _here  # noqa: PLW0603
    _here = (os.getpid(), handle)
    try:
        yield
    finally:
        _here = None
