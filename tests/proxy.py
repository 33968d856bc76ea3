"""A TCP proxy that troubles what passes through it: slow, cut, silent, or without the reply."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65536
_NO_LINGER = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What happens to a piece of a request or a reply that is struck."""

    NONE = "none"
    LATENCY = "latency"
    """Each piece, in both directions, comes late."""
    RESET = "reset"
    """The client is reset instead of the piece of its request going on."""
    BLACK_HOLE = "black hole"
    """From this piece of a request on nothing passes, and the connection stays open."""
    HALF_CLOSE = "half-close"
    """The request goes on, and the client gets the end of the stream in place of the reply."""
    DROP_REPLY = "drop reply"
    """The request was forwarded and answered; the connection is closed in place of the reply."""


_ON_REPLY = (Fault.DROP_REPLY, Fault.HALF_CLOSE)


class Proxy:
    """Forwards connections to a server, from a thread of its own, with one fault.

    Args:
        target: the server's URL.
        fault: what is done to what is struck.
        chance: of each piece of the direction concerned to be struck.
        seed: of the random draws.
        late_s: by how much `Fault.LATENCY` delays each piece.
    """

    def __init__(
        self,
        target: str,
        fault: Fault,
        *,
        chance: float = 0.2,
        seed: int = 4,
        late_s: float = 0.05,
    ) -> None:
        self.fault = fault
        self.struck = 0
        """Pieces that were struck so far."""
        self.url = ""
        self._target = _address(target)
        self._chance, self._late_s = chance, late_s
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def lead_to(self, target: str) -> None:
        """Forward new connections to another server."""
        self._target = _address(target)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._end.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target)
            ends.append(up_writer)
            ways = [
                asyncio.create_task(self._requests(reader, writer, up_writer)),
                asyncio.create_task(self._replies(up_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in ends:
                end.close()
            for end in ends:
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        """Pass on what the client sends, until it or the fault ends the connection."""
        silent = False
        while data := await reader.read(_CHUNK):
            struck = self.fault not in _ON_REPLY and self._strikes()
            if struck and self.fault is Fault.RESET:
                _reset(writer)
                return
            silent |= struck and self.fault is Fault.BLACK_HOLE
            if silent:
                continue
            await self._pass(data, up_writer, late=struck)

    async def _replies(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server sends, until it or the fault ends the connection."""
        while data := await up_reader.read(_CHUNK):
            if self.fault in _ON_REPLY and self._strikes():
                if self.fault is Fault.HALF_CLOSE:
                    writer.write_eof()
                    await up_reader.read()
                return
            await self._pass(data, writer, late=self.fault is Fault.LATENCY)

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, *, late: bool) -> None:
        if late:
            await asyncio.sleep(self._late_s)
        writer.write(data)
        await writer.drain()

    def _strikes(self) -> bool:
        strikes = self.fault is Fault.LATENCY or (
            self.fault is not Fault.NONE and self._random.random() < self._chance
        )
        self.struck += strikes
        return strikes


def _address(url: str) -> tuple[str, int]:
    split = urlsplit(url)
    return split.hostname or "127.0.0.1", split.port or 80


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
