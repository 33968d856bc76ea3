"""The fan-out: commits gathered for a moment, written once, handed to every listener's queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from api.live.access import View
from api.live.messages import Message, messages_of, study_message
from storage import Committed
from storage.ledger import Ledger
from tuner.study import Study

GATHER_S = 0.05
"""How long commits are gathered before they are told."""
SLOW = "slow"
"""Why a listener ends that does not read as fast as is written."""
STUDY_S = 0.5
"""How often at most it is told where a study stands."""


class Listener:
    """One stream's bounded queue.

    Guarantees: `push` never waits; what would exceed the bound ends the listener instead, so that
    a queue holds either all that came since, in order, or nothing any more.
    """

    def __init__(self, view: View, most: int, token_id: str = "") -> None:
        self.view = view
        self.token_id = token_id
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done with the reason once the stream must end."""
        self._most = most
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._news: asyncio.Future[None] | None = None

    def push(self, data: bytes) -> None:
        """Queue data to be sent."""
        if self.ended.done():
            return
        if self._size + len(data) > self._most:
            self.end(SLOW)
            return
        self._queue.append(data)
        self._size += len(data)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def end(self, why: str) -> None:
        """End the stream; what is queued is not sent."""
        self._queue.clear()
        self._size = 0
        if not self.ended.done():
            self.ended.set_result(why)

    async def next(self, timeout_s: float) -> bytes:
        """Return what is queued, waiting for it; b"" after `timeout_s`."""
        if not self._queue:
            loop = asyncio.get_running_loop()
            self._news = loop.create_future()
            timer = loop.call_later(timeout_s, _set, self._news)
            try:
                await self._news
            finally:
                timer.cancel()
                self._news = None
        data = b"".join(self._queue)
        self._queue.clear()
        self._size = 0
        return data


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Hub:
    """Tells listeners what the ledger commits. Use it on the event loop.

    Guarantees: a listener that is attached gets the messages of every later commit and of none
    before, in the order of the commits. With no listener, the ledger has no subscriber of ours.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._listeners: dict[View, set[Listener]] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self._pending: list[Committed] = []
        self._timer: asyncio.TimerHandle | None = None
        self._known: dict[int, Study] = {}
        self._moved: set[int] = set()
        self._studies_timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._listeners.values()))

    def attach(self, listener: Listener) -> int:
        """Add a listener; return the `seq` up to which events are committed and not told to it."""
        self._flush()
        if self._unsubscribe is None:
            self._known = {s.study_id: s for s in self._ledger.memory.studies()}
            self._unsubscribe = self._ledger.subscribe(self._take)
        self._listeners.setdefault(listener.view, set()).add(listener)
        return self._ledger.memory.tables.counters.seq - 1

    def detach(self, listener: Listener) -> None:
        """Remove a listener; the last one's end stops the listening to the ledger."""
        group = self._listeners.get(listener.view, set())
        group.discard(listener)
        if not group:
            self._listeners.pop(listener.view, None)
        if not self._listeners and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            self._pending.clear()
            self._moved.clear()
            for timer in (self._timer, self._studies_timer):
                if timer is not None:
                    timer.cancel()
            self._timer = self._studies_timer = None

    def end(self, why: str, token_id: str | None = None) -> None:
        """End the streams of a token, as when it is revoked; or all of them."""
        for listener in [x for group in self._listeners.values() for x in group]:
            if token_id is None or listener.token_id == token_id:
                listener.end(why)

    def _take(self, news: Committed) -> None:
        if news.reloaded:
            # Commits may be stored that nobody announced: listeners resume from the database.
            self.end("reloaded")
            self._pending.clear()
            return
        self._pending.append(news)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        commits, self._pending = self._pending, []
        if not commits:
            return
        self._share([*messages_of(self._ledger.memory, commits), *self._dropped(commits)])
        for news in commits:
            self._moved.update(s.study_id for s in news.studies)
            self._moved.update(t.study_id for t in news.trials)
        if self._studies_timer is None:
            loop = asyncio.get_running_loop()
            self._studies_timer = loop.call_later(STUDY_S, self._tell_studies)

    def _dropped(self, commits: Sequence[Committed]) -> list[Message]:
        for news in commits:
            self._known.update((s.study_id, s) for s in news.studies)
        gone = [self._known.pop(i, None) for news in commits for i in news.dropped]
        return [study_message(s, (), deleted=True) for s in gone if s is not None]

    def _tell_studies(self) -> None:
        self._studies_timer = None
        moved, self._moved = self._moved, set()
        memory = self._ledger.memory
        now = {s.study_id: s for s in memory.studies()}
        found = [now[i] for i in sorted(moved) if i in now]
        self._share([study_message(s, memory.trials(s.study_id)) for s in found])

    def _share(self, messages: Sequence[Message]) -> None:
        for view, group in self._listeners.items():
            data = b"".join(m.data for m in messages if view.sees(m.study_id, m.project))
            if data:
                for listener in group:
                    listener.push(data)
