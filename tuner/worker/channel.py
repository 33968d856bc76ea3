"""The local socket between parent and child: messages as JSON, each after its length.

Both ends trust the length no further than `LONGEST`; the child's end may have been written to by
code that found its file descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
import time

from pydantic import ValidationError

from tuner.worker.messages import TO_CHILD, TO_PARENT, Message, ToChild, ToParent

LONGEST = 16 << 20
_HEAD = struct.Struct("!I")


class ChannelClosed(Exception):
    """The other end is gone, or said something that is no message."""


def encode(message: Message) -> bytes:
    """Return a message with its length before it."""
    body = message.model_dump_json().encode()
    return _HEAD.pack(len(body)) + body


class ChildEnd:
    """The child's end: blocking, without a thread of its own. Safe for threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._sending = threading.Lock()

    def send(self, message: ToParent) -> None:
        """Send a message.

        Raises:
            ChannelClosed: the parent is gone.
        """
        with self._sending:
            try:
                self._sock.sendall(encode(message))
            except OSError as exc:
                raise ChannelClosed(str(exc)) from exc

    def receive(self, timeout: float | None) -> ToChild | None:
        """Return the next message, None if none came within `timeout` seconds (None: wait).

        Raises:
            ChannelClosed: the parent is gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            body = _cut(self._buffer)
            if body is not None:
                return TO_CHILD.validate_json(body)
            if not self._readable(deadline):
                return None
            try:
                data = self._sock.recv(65536)
            except OSError as exc:
                raise ChannelClosed(str(exc)) from exc
            if not data:
                raise ChannelClosed("the parent is gone")
            self._buffer += data

    def _readable(self, deadline: float | None) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        return bool(poll.poll(left))


class ParentEnd:
    """The parent's end, on the event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> ParentEnd:
        """Return the end over a connected socket, which it owns from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer)

    def send(self, message: ToChild) -> None:
        """Send a message; one for a child that is gone is dropped."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def receive(self) -> ToParent:
        """Return the next message.

        Raises:
            ChannelClosed: the child is gone, or what it sent is no message.
        """
        try:
            (length,) = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if length > LONGEST:
                raise ChannelClosed(f"a message of {length} bytes")
            return TO_PARENT.validate_json(await self._reader.readexactly(length))
        except (OSError, EOFError, ValidationError) as exc:
            raise ChannelClosed(str(exc)) from exc

    async def close(self) -> None:
        """Close the socket."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def _cut(buffer: bytearray) -> bytes | None:
    if len(buffer) < _HEAD.size:
        return None
    (length,) = _HEAD.unpack_from(buffer)
    if length > LONGEST:
        raise ChannelClosed(f"a message of {length} bytes")
    end = _HEAD.size + length
    if len(buffer) < end:
        return None
    body = bytes(buffer[_HEAD.size : end])
    del buffer[:end]
    return body
