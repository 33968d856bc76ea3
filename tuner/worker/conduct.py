"""Whether a worker is fit to serve: when its trials fail at once it leaves, and tests itself.

A *quick failure* is a trial that failed or ran out of memory within `quick_s` seconds of its start;
a *good end* any other end, but for those that say nothing of the worker: trials given back, lost,
refused, or ended for good by what the study asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tuner.worker.endings import Ending

PAUSE_S = 60.0
LONGEST_PAUSE_S = 900.0
_LONGEST_REASON = 300
_REMEMBERED = 50


@dataclass(frozen=True, kw_only=True)
class _Failure:
    study_id: int
    node: bool


@dataclass(kw_only=True)
class _Pause:
    """A pause that is twice as long as the one before it, each time."""

    until: float = 0.0
    length: float = 0.0

    def begin(self, now: float) -> None:
        if now < self.until:
            return  # it began after this trial
        self.length = min(LONGEST_PAUSE_S, 2 * self.length or PAUSE_S)
        self.until = now + self.length


class Conduct:
    """What the ends of a worker's trials say about it.

    After `most` quick failures in a row that the node is suspected of, or that were of two studies
    or more, the worker is out of service for a pause. Then it takes one trial as a test: a good end
    brings it back, another quick failure begins a pause twice as long. After as many of one study
    alone, whose code may be all that is wrong, it avoids that study in the same way and serves the
    others.

    Args:
        most: quick failures in a row that are too many; 0 lets any number pass.
        quick_s: seconds from a trial's start in which its failure is a quick one.
        clock: monotonic seconds.
    """

    def __init__(
        self, most: int, quick_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._quick_s = quick_s
        self._clock = clock
        self._row: list[_Failure] = []
        self._failures = 0
        self._of_study: Counter[int] = Counter()
        self._avoided: dict[int, _Pause] = {}
        self._pause: _Pause | None = None
        self._changed = asyncio.Event()
        self.trouble = ""
        """Why the worker is out of service; empty while it serves."""

    def note(self, study_id: int, name: str, ending: Ending, took_s: float) -> str:
        """Take in how a trial ended, `took_s` seconds after its start.

        Returns:
            A sentence on what the worker does about it, empty where it goes on as before.
        """
        if ending.outcome in ("left", "lost") or (ending.outcome == "failed" and not ending.retry):
            return ""
        if ending.outcome in ("failed", "oom") and took_s <= self._quick_s:
            return self._failed(study_id, f"{name}{ending.why()}", node=ending.node)
        return self._well(study_id)

    def allowed(self, free: int, *, idle: bool) -> int:
        """Return how many trials may be taken now into free slots; `idle` means that none runs."""
        if self._pause is None:
            return free
        return 1 if idle and self._clock() >= self._pause.until else 0

    def avoided(self) -> list[int]:
        """Return the studies that are not served now."""
        now = self._clock()
        return sorted(study for study, pause in self._avoided.items() if pause.until > now)

    async def changed(self, seconds: float) -> None:
        """Wait until it leaves service or comes back, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        self._changed.clear()

    def _failed(self, study_id: int, said: str, *, node: bool) -> str:
        if not self._most:
            return ""
        now = self._clock()
        self._row.append(_Failure(study_id=study_id, node=node))
        self._of_study[study_id] += 1
        self._failures += 1
        del self._row[: -max(_REMEMBERED, self._most)]
        last = self._row[-self._most :]
        if self._pause is not None:
            self._pause.begin(now)
        elif len(last) >= self._most and (
            all(one.node for one in last) or len({one.study_id for one in self._row}) > 1
        ):
            self._pause = _Pause()
            self._pause.begin(now)
        if self._pause is not None:
            why = f"{self._failures} trials in a row failed within {self._quick_s:g} s"
            self._tell(f"{why}, the last {said}"[:_LONGEST_REASON])
            return f"out of service: {self.trouble}"
        if self._of_study[study_id] >= self._most:
            pause = self._avoided.setdefault(study_id, _Pause())
            pause.begin(now)
            return f"trials of this study fail at once: avoiding it for {pause.until - now:.0f} s"
        return ""

    def _well(self, study_id: int) -> str:
        back = "in service again" if self.trouble else ""
        self._row.clear()
        self._failures = 0
        self._of_study.pop(study_id, None)
        self._avoided.pop(study_id, None)
        self._pause = None
        self._tell("")
        return back

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._changed.set()
