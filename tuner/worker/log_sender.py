"""Sends what trials print to the server, in batches, beside everything else and after it.

Nothing waits for it, and nothing of it is kept on disk: while the server is away or slow, the
newest lines wait, and older ones are left out with a note.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tuner.errors import (
    InvalidInput,
    Malformed,
    NotFound,
    StaleAttempt,
    TooLarge,
    TunerError,
)
from tuner.problems import error_of, retry_after
from tuner.wire import LogItem, LogLine, LogResult, Logs
from tuner.worker.api import WorkerApi
from tuner.worker.link import Link

EVERY_S = 1.0
BATCH = 64 << 10
"""Characters of one trial in one request."""
HELD = 256 << 10
"""Characters of one trial that wait at most."""
_BODY = 1 << 20
_MOST_LINES = 2000
_PER_LINE = 40
_PATIENCE_S = 2.0
PAUSE_S = 5.0
_BEHIND = 5.0
"""How many times as often is sent while whole batches wait."""

_LOG = logging.getLogger("tuner.worker")


@dataclass(frozen=True, kw_only=True)
class _Line:
    at: float
    text: str


class LogStream:
    """The lines of one attempt that wait to be sent.

    Args:
        wake: called when there is something to send.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        lease: str,
        attempt: int,
        wake: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._attempt = attempt
        self._wake = wake
        self._clock = clock
        self._waiting: deque[_Line] = deque()
        self._size = 0
        self._left_out = 0
        self._sent: list[_Line] = []
        self._first = 0
        self._ended = False
        self._told_end = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to be sent, ever."""
        return self._told_end

    @property
    def is_behind(self) -> bool:
        """Whether a whole batch waits."""
        return self._size >= BATCH

    @property
    def has_news(self) -> bool:
        """Whether there is something to send."""
        return bool(self._sent or self._waiting or self._ended) and not self._told_end

    def add(self, text: str) -> None:
        """Send a line, if there is room for it in time."""
        if self._ended:
            return
        self._waiting.append(_Line(at=self._clock(), text=text))
        self._size += len(text) + _PER_LINE
        while self._size > HELD:
            self._size -= len(self._waiting.popleft().text) + _PER_LINE
            self._left_out += 1
        self._wake()

    def end(self) -> None:
        """Note that no line follows."""
        if not self._ended:
            self._ended = True
            self._wake()

    def item(self) -> LogItem:
        """Return what is to be sent now; the same again until it was answered."""
        if not self._sent:
            self._next_batch()
        now = self._clock()
        return LogItem(
            lease=self._lease,
            attempt=self._attempt,
            first=self._first,
            lines=[LogLine(age_s=max(0.0, now - one.at), text=one.text) for one in self._sent],
            last=self._ended and not self._waiting,
        )

    def answered(self, item: LogItem, result: LogResult) -> None:
        """Take in the answer to an item."""
        if result.problem is None:
            self._first += len(self._sent)
            self._sent = []
            self._told_end |= item.last
        elif isinstance(error_of(result.problem), StaleAttempt | NotFound):
            self.drop()
        else:
            self.leave_out()

    def leave_out(self) -> None:
        """Give up what was sent last; the next batch says so."""
        self._left_out += len(self._sent)
        self._sent = []
        if self._ended and not self._waiting:
            self._told_end = True

    def drop(self) -> None:
        """Send nothing any more."""
        self._waiting.clear()
        self._sent = []
        self._ended = self._told_end = True

    def _next_batch(self) -> None:
        if self._left_out:
            note = f"... {self._left_out} lines left out: the server was away or slow ..."
            self._sent.append(_Line(at=self._clock(), text=note))
            self._left_out = 0
        size = 0
        while self._waiting and size < BATCH and len(self._sent) < _MOST_LINES:
            line = self._waiting.popleft()
            size += len(line.text) + _PER_LINE
            self._sent.append(line)
        self._size -= size


class LogSender:
    """Sends the lines of all attempts of a worker.

    Args:
        every: seconds between two requests.
        pause: seconds after one that failed.
    """

    def __init__(
        self, api: WorkerApi, link: Link, *, every: float = EVERY_S, pause: float = PAUSE_S
    ) -> None:
        self._api = api
        self._link = link
        self._every = every
        self._pause = pause
        self._asked = 0.0
        self._streams: list[LogStream] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._known = True
        self._hurry = asyncio.Event()

    def open(self, lease: str, attempt: int) -> LogStream:
        """Begin the log of an attempt."""
        stream = LogStream(lease, attempt, self._woken)
        if self._known:
            self._streams.append(stream)
        else:
            stream.drop()
        return stream

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            took = await self._send_all()
            self._streams = [one for one in self._streams if not one.done]
            if not any(one.has_news for one in self._streams):
                self._idle.set()
            else:
                self._wake.set()
            if took:
                behind = any(one.is_behind for one in self._streams)
                pause = self._every / _BEHIND if behind else self._every
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), pause)
            elif self._link.away and not self._asked:
                await self._link.pause(self._pause)
            else:
                await asyncio.sleep(max(self._pause, self._asked))

    async def drained(self, patience: float) -> None:
        """Send all that waits; take at most `patience` seconds, and none if the server is away."""
        self._hurry.set()
        if not self._link.away:
            await asyncio.wait({asyncio.create_task(self._idle.wait())}, timeout=patience)

    def _woken(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _send_all(self) -> bool:
        """Send a batch of each; return whether the server took them."""
        waiting = [one for one in self._streams if one.has_news]
        while waiting:
            size, some = 0, []
            while waiting and size < _BODY:
                stream = waiting.pop()
                item = stream.item()
                size += sum(len(line.text) + _PER_LINE for line in item.lines)
                some.append((stream, item))
            if not await self._send(some):
                return False
        return True

    async def _send(self, some: list[tuple[LogStream, LogItem]]) -> bool:
        try:
            reply = await self._api.logs(Logs(logs=[item for _, item in some]), _PATIENCE_S)
        except NotFound:
            _LOG.warning("the server is older and takes no output of trials")
            self._known = False
            for stream in self._streams:
                stream.drop()
            return True
        except (InvalidInput, Malformed, TooLarge) as exc:
            _LOG.warning("output of trials was refused: %s", exc.detail)
            for stream, _ in some:
                stream.leave_out()
            return True
        except TunerError as exc:
            self._asked = (retry_after(exc) or 0.0) * random.uniform(1, 1.5)
            return False
        for (stream, item), result in zip(some, reply.results, strict=False):
            stream.answered(item, result)
        return True
