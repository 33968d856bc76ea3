"""A trial of a study as its people see it, with what it printed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from tuner.client.record import TrialRecord
from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.trial import TrialState
from tuner.wire import TrialView

WAIT_S = 20.0
"""Seconds a request for more is held open."""
OUTAGE = Patience(total=600.0)
_PAUSE_S = 1.0


class LogText(NamedTuple):
    """A stretch of an attempt's log. The next begins at `next`; with `is_all` nothing follows."""

    attempt: int
    text: str
    next: int
    is_all: bool


class StudyTrial(TrialRecord):
    """A trial as it was read, which can tell what it printed, and its files."""

    @classmethod
    def of(cls, transport: Transport, path: str) -> StudyTrial:
        """Read the trial at a path."""
        return transport.get(cls, path).at(transport, path)

    def log(self, attempt: int | None = None, *, times: bool = False) -> str:
        """Return what the trial printed as far as it is kept, secrets masked.

        Args:
            attempt: the latest by default.
            times: whether each line begins with its time in UTC.

        Raises:
            NotFound: there is no such attempt.
        """
        return self._read(attempt, 0, times=times).text

    def follow_log(self, attempt: int | None = None, *, times: bool = False) -> Iterator[LogText]:
        """Iterate over what the trial prints until it has ended, over all its further attempts.

        Args:
            attempt: the first one, and then the only one; the latest and those after it by default.
            times: whether each line begins with its time in UTC.

        Raises:
            NotFound: there is no such attempt.
            ServerUnreachable: the server was away for ten minutes.
        """
        only, offset = attempt is not None, 0
        while True:
            got = self._read(attempt, offset, times=times, wait_s=WAIT_S)
            attempt, offset = got.attempt or None, got.next
            if got.text:
                yield got
            if not got.is_all:
                continue
            if only:
                return
            attempt, offset = self._after(got.attempt), 0
            if attempt is None:
                return

    def _after(self, attempt: int) -> int | None:
        """Return the attempt after one, once it has begun; None if the trial has ended."""
        while True:
            # The view alone; the detail would hold the whole curve.
            now = self._way.get(TrialView, self._path, patience=OUTAGE)
            if now.attempt > attempt:
                return attempt + 1
            if now.state is TrialState.ENDED:
                return None
            time.sleep(_PAUSE_S)

    def _read(
        self, attempt: int | None, offset: int, *, times: bool, wait_s: float | None = None
    ) -> LogText:
        reply = self._way.send(
            "GET",
            f"{self._path}/log",
            query={
                "attempt": attempt,
                "offset": offset or None,
                "times": "true" if times else None,
                "wait_s": wait_s,
            },
            wait_s=wait_s or 0.0,
            patience=None if wait_s is None else OUTAGE,
        )
        headers = reply.headers
        return LogText(
            attempt=int(headers.get("x-log-attempt", 0)),
            text=reply.content.decode("utf-8", "replace"),
            next=int(headers.get("x-log-next", 0)),
            is_all=headers.get("x-log-end") == "true",
        )
