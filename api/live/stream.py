"""One listener's stream: what it missed from the database, then what comes, until either ends it.

Ids are positions in the order of events, which the database keeps: a stream can be resumed at
another server, or at the same one after its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.limits.protocol import ABORT
from api.live.access import caller_of, validity_of, view_of
from api.live.hub import SLOW, Listener
from api.live.messages import (
    Position,
    event_message,
    position_of,
    study_message,
    trial_messages,
    written,
)
from api.services import Services
from storage import queries
from tuner.errors import TunerError
from tuner.trial import Event, TrialState
from tuner.wire import LiveHello, LiveReset

MEDIA = "text/event-stream"
RETRY_MS = 1_000
MOST_REPLAYED = 100_000
"""Events a resumed stream catches up on; beyond, everything is to be fetched again."""
_PAGE = 1_000
_ABORT_S = 5.0
_END_S = 1.0
_BEAT = b": \n\n"
_log = logging.getLogger(__name__)


class Start(NamedTuple):
    """Where a stream begins: after a position, or now."""

    study_id: int | None
    after: Position | None


class EventStream(Response):
    """A response that streams messages until the client, the server or the token ends it."""

    def __init__(self, services: Services, start: Start) -> None:
        super().__init__(media_type=MEDIA)
        self._services = services
        self._hub = services.hub
        self._start = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream.

        Raises:
            TooMany: the caller, or the server, has as many streams as there may be.
        """
        limits, caller = self._services.settings.limits, caller_of(scope)
        with self._services.streams.take(caller):
            view = view_of(scope, self._start.study_id)
            listener = Listener(view, limits.stream_queue, caller)
            upto = self._hub.attach(listener)
            try:
                await self._serve(scope, receive, send, listener, upto)
            finally:
                self._hub.detach(listener)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, listener: Listener, upto: int
    ) -> None:
        pump = asyncio.create_task(self._pump(scope, send, listener, upto))
        left = asyncio.create_task(_left(receive))
        closing = asyncio.create_task(self._services.closing.wait())
        try:
            waits = (pump, left, closing, listener.ended)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                return
            slow = listener.ended.done() and listener.ended.result() == SLOW
            await _stop(pump)
            if slow or not await _end(send):
                _abort(scope)
                await asyncio.wait({left}, timeout=_ABORT_S)
        finally:
            for task in (pump, left, closing):
                task.cancel()

    async def _pump(self, scope: Scope, send: Send, listener: Listener, upto: int) -> None:
        head = [(b"content-type", MEDIA.encode()), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await _send(send, f"retry: {RETRY_MS}\n\n".encode())
        async for data in self._catch_up(listener, upto):
            await _send(send, data)
        still_valid = validity_of(scope)
        heartbeat_s = self._services.settings.limits.stream_heartbeat_s
        while still_valid():
            await _send(send, await listener.next(heartbeat_s) or _BEAT)

    async def _catch_up(self, listener: Listener, upto: int) -> AsyncIterator[bytes]:
        """Yield what the listener missed, and where it stands now."""
        after = self._start.after
        if after is None:
            yield await self._hello(upto)
            return
        why = await self._why_not(after, upto)
        if why is not None:
            yield written("reset", LiveReset(why=why))
            yield await self._hello(upto)
            return
        touched: dict[int, set[int]] = {}
        first = after.seq + 1
        while events := await self._events(first, upto):
            yield self._told(listener, events)
            for event in events:
                numbers = touched.setdefault(event.study_id, set())
                if event.number is not None:
                    numbers.add(event.number)
            first = (events[-1].seq or upto) + 1
        yield self._states(listener, touched)
        yield written("hello", LiveHello(seq=upto))

    async def _hello(self, upto: int) -> bytes:
        newest = await queries.newest_event(self._services.ledger, upto, self._start.study_id)
        at = Position(0) if newest is None else position_of(newest)
        return written("hello", LiveHello(seq=at.seq), at)

    async def _why_not(self, after: Position, upto: int) -> str | None:
        """Say why the stream can't go on after a position, None if it can."""
        if after.seq > upto:
            return "the id is ahead of this database"
        ledger, study_id = self._services.ledger, self._start.study_id
        if after.check:
            found = await queries.events_from(ledger, after.seq, after.seq)
            if found and position_of(found[0]) != after:
                return "the id names another event of this database"
        skipped = await queries.count_events(ledger, after.seq + 1, upto, study_id)
        if skipped > MOST_REPLAYED:
            return f"{skipped} events came since"
        return None

    async def _events(self, first: int, upto: int) -> list[Event]:
        return await queries.events_from(
            self._services.ledger, first, upto, study_id=self._start.study_id, limit=_PAGE
        )

    def _told(self, listener: Listener, events: list[Event]) -> bytes:
        projects = {
            s.study_id: s.spec.queue.project for s in self._services.ledger.memory.studies()
        }
        found = (event_message(e, projects[e.study_id]) for e in events if e.study_id in projects)
        return b"".join(m.data for m in found if listener.view.sees(m.study_id, m.project))

    def _states(self, listener: Listener, touched: dict[int, set[int]]) -> bytes:
        """Return where everything stands that may have moved since."""
        memory, data = self._services.ledger.memory, b""
        for study in memory.studies():
            if not listener.view.sees(study.study_id, study.spec.queue.project):
                continue
            if study.is_over and study.study_id not in touched:
                continue
            moved, trials = touched.get(study.study_id, set()), memory.trials(study.study_id)
            now = [t for t in trials if t.state is TrialState.RUNNING or t.number in moved]
            data += b"".join(m.data for m in trial_messages(memory, study, now))
            data += study_message(study, trials).data
        return data


async def _send(send: Send, data: bytes) -> None:
    if data:
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stop(pump: asyncio.Task[None]) -> None:
    """Stop sending. What failed on our side ends the stream; the listener resumes it."""
    pump.cancel()
    with suppress(asyncio.CancelledError):
        try:
            await pump
        except TunerError as exc:
            _log.warning("an event stream ended: %s", exc.detail)


async def _end(send: Send) -> bool:
    """End the response in order; False if the reader takes nothing."""
    last = asyncio.ensure_future(send({"type": "http.response.body", "body": b""}))
    await asyncio.wait({last}, timeout=_END_S)
    if not last.done():
        last.cancel()
        return False
    last.result()
    return True


def _abort(scope: Scope) -> None:
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is not None:
        abort["abort"]()
