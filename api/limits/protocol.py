"""HTTP connections with limits: time and size of a request's head, pauses, and their number."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.limits.settings import Limits
from api.observe import refusals
from api.problems import MEDIA, problem_of
from tuner.errors import HeaderTooLarge, Malformed, RequestTimeout, TunerError, Unavailable

Refused = Callable[[str], None]
ABORT = "tuner.abort"
"""The ASGI extension that ends the connection without sending what waits to be sent."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, closing what takes too long or too much before any routing.

    A connection must send its first request's head within `header_s`, and so each further one from
    its first byte; a body may not pause for `idle_s`, and what still comes of one that was answered
    is read for twice as long at most. Trailers are passed over. Idle kept-alive connections are
    uvicorn's own matter (`timeout_keep_alive`), but for those whose last body came after its
    answer.
    """

    limits: Limits
    refused: Refused

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        """Bytes of the head, or of what is between the pieces of a body and behind them."""
        self._in_head = False
        self._seen = 0.0
        self._in_body = self._lingers = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            retry = self.limits.retry_s
            error = Unavailable("too many connections are open", retry_after=retry)
            self.refuse(error, refusals.CONNECTIONS)
            return
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as far as the limits go."""
        if self._refused or self.parser is None:
            return
        self._seen = self.loop.time()
        if not self._in_head and self._timer is None and not self._in_body:
            self._begin_head()
        if self._in_head or self._in_body:
            self._head += len(data)
        super().data_received(data)
        self._keep_time()
        if (self._in_head or self._in_body) and self._head > self.limits.max_header:
            self._refuse_head()

    def _refuse_head(self) -> None:
        most = self.limits.max_header
        self.refuse(HeaderTooLarge(f"a request's head has at most {most} bytes", limit=most))

    def _keep_time(self) -> None:
        """Let a connection end that is idle, where uvicorn forgot its time at the last bytes."""
        if self._timer is None and self.timeout_keep_alive_task is None and self._is_answered():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if not self._in_head:
            self._begin_head()
        self.scope["extensions"] = {ABORT: {"abort": self.reset}}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; not one that comes behind the body, which nobody looked at before."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the head be answered, if it is not too large."""
        if sum(len(k) + len(v) + 4 for k, v in self.headers) + len(self.url) > (
            self.limits.max_header
        ):
            self._refuse_head()
            return
        self._in_head, self._head = False, 0
        self._stop_timer()
        super().on_headers_complete()
        self._in_body, self._lingers = True, False
        if not self._refused:
            self._timer = self.loop.call_later(self.limits.idle_s, self._look_at_body)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._head = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        self._stop_timer()
        if not self._refused:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered as it is, and strangers write no log."""

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        if not self._refused:
            self.refuse(Malformed("this is not an HTTP request"), None)

    def refuse(self, error: TunerError, kind: str | None = refusals.HEADS) -> None:
        """Answer with a problem document, if no answer has begun, and close the connection.

        What a limit refuses is counted as of its `kind`.
        """
        self._refused = True
        if kind is not None:
            self.refused(kind)
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_answer(error))
        self.transport.close()

    def reset(self) -> None:
        """End the connection at once, and let the kernel throw away what nobody reads."""
        found = self.transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _begin_head(self) -> None:
        self._in_head, self._head = True, 0
        self._stop_timer()
        self._timer = self.loop.call_later(self.limits.header_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._timer = None
        seconds = self.limits.header_s
        self.refuse(RequestTimeout(f"the request's head was not here after {seconds:g} s"))

    def _look_at_body(self) -> None:
        """Close the connection if its body pauses, unless we are the one who does not read on.

        What comes of a body after its answer is read for a while, so that the answer arrives.
        """
        self._timer = None
        left = self._seen + self.limits.idle_s - self.loop.time()
        if self.flow.read_paused:
            left = self.limits.idle_s
        if self._lingers:
            self._refused = True
            self.transport.close()
        elif self._is_answered():
            self._lingers = True
            self._timer = self.loop.call_later(self.limits.idle_s, self._look_at_body)
        elif left > 0:
            self._timer = self.loop.call_later(left, self._look_at_body)
        elif self._in_body:
            self._refused = True
            self.reset()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def protocol(limits: Limits, refused: Refused) -> type[LimitedProtocol]:
    """Return the protocol under these limits; `refused` is told of what each refuses."""
    own = {"limits": limits, "refused": staticmethod(refused)}
    return type("Protocol", (LimitedProtocol,), own)


def _answer(error: TunerError) -> bytes:
    body = problem_of(error).model_dump_json().encode()
    lines = [
        STATUS_LINE[error.status].rstrip(),
        b"content-type: " + MEDIA.encode(),
        b"content-length: %d" % len(body),
        b"x-content-type-options: nosniff",
        b"cache-control: no-store",
        b"connection: close",
    ]
    if "retry_after" in error.extra:
        lines.append(b"retry-after: %d" % math.ceil(error.extra["retry_after"]))
    return b"\r\n".join([*lines, b"", body])
