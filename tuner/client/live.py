"""Event streams, read for as long as the caller likes: a break is resumed where it came."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from tuner.client.retry import Patience
from tuner.client.transport import Transport, worth_retrying
from tuner.errors import TunerError
from tuner.problems import retry_after
from tuner.wire.live import LIVE

QUIET_S = 45.0
"""A stream silent for so long is taken for dead; the server's heartbeats come every 15 s."""
_LOOK_S = 15.0


class LiveMessage(NamedTuple):
    """A message of a stream: its kind, its data (see `tuner.wire.live.LIVE`), and its id."""

    kind: str
    data: BaseModel
    id: str | None


class Frame(NamedTuple):
    """A message as it came. `id` is None where it has none."""

    kind: str
    data: str
    id: str | None


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Read server-sent events; what is cut off at the end is not one."""
    kind, found, at = "message", list[str](), None
    for line in lines:
        if not line:
            if found:
                yield Frame(kind, "\n".join(found), at)
            kind, found, at = "message", [], None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            found.append(value)
        elif field == "id":
            at = value


def follow(
    transport: Transport, path: str, after: int | str | None, patience: Patience
) -> Iterator[LiveMessage]:
    """Iterate over a stream's messages for ever, resuming it after each break.

    Args:
        transport: leads to the server.
        path: of the stream.
        after: an id or an event's `seq` to begin after; None begins now.
        patience: how long one outage may last.

    Raises:
        TunerError: the server refuses the stream, or was away for too long.
    """
    last, tries, began = None if after is None else str(after), 0, time.monotonic()
    while True:
        asked, failure = None, TunerError(f"{transport.url} ends the stream at once, every time")
        try:
            headers = {} if last is None else {"Last-Event-ID": last}
            for frame in frames(transport.lines(path, headers=headers, quiet_s=QUIET_S)):
                tries, began = 0, time.monotonic()
                if frame.id is not None:
                    last = frame.id
                if (message := _message(frame)) is not None:
                    yield message
        except TunerError as exc:
            if not worth_retrying(exc):
                raise
            asked, failure = retry_after(exc), exc
        tries += 1
        pause = patience.pause(
            tries=tries, elapsed=time.monotonic() - began, jitter=random.random(), asked=asked
        )
        if pause is None:
            raise failure
        time.sleep(pause)


def _message(frame: Frame) -> LiveMessage | None:
    """Return a message; None for a kind that a newer server tells."""
    model = LIVE.get(frame.kind)
    if model is None:
        return None
    try:
        return LiveMessage(frame.kind, model.model_validate_json(frame.data), frame.id)
    except ValidationError as exc:
        raise TunerError(f"the stream's {frame.kind} is not one of tuner's") from exc


class News:
    """Tells when to look again: when a stream says so, else after `poll_s` seconds."""

    def __init__(self, transport: Transport, path: str) -> None:
        self._news = threading.Event()
        self._up = False
        self._stopped = False
        self._transport = transport
        self._path = path
        threading.Thread(target=self._listen, name="news", daemon=True).start()

    def close(self) -> None:
        """Stop listening, at the latest at the stream's next heartbeat."""
        self._stopped = True

    def wait(self, poll_s: float) -> None:
        """Return after `poll_s` seconds or later: with the stream up, once there is news."""
        time.sleep(poll_s)
        if self._up:
            self._news.wait(max(0.0, _LOOK_S - poll_s))
        self._news.clear()

    def _listen(self) -> None:
        while not self._stopped:
            with suppress(TunerError, RuntimeError):
                lines = self._transport.lines(self._path, headers={}, quiet_s=QUIET_S)
                for line in lines:
                    if self._stopped:
                        lines.close()
                        return
                    if line.startswith("data:"):
                        self._up = True
                        self._news.set()
            self._up = False
            self._news.set()
            time.sleep(1.0 + random.random())
