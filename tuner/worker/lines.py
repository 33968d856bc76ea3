"""What a trial prints, cut into lines that are fit to be kept: no bars, no escapes, no secrets."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

from tuner.secrets import Masker
from tuner.terminal import plain

LONGEST = 8 << 10
"""Bytes of a line; the rest of a longer one makes further lines."""
_OVERLAP = 2 << 10
_DECODER = codecs.getincrementaldecoder("utf-8")
RATE = 1 << 20
"""Bytes a second that are read in the long run; of a flood only the end is."""
BURST = 4 << 20
_RING = 64 << 10
BAR_S = 10.0
"""Seconds between two states of a progress bar that are kept."""


class Lines:
    """Cuts what is printed into lines.

    A line is kept when it is whole, so that a secret that comes in pieces is seen; of a line that
    is written over itself, as progress bars are, the last state, and one every `BAR_S` seconds.

    Args:
        keep: gets each line, without its end.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        masker: Masker,
        keep: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._masker = masker
        self._keep = keep
        self._clock = clock
        self._pending = bytearray()
        self._may, self._may_at = float(BURST), clock()
        self._skipped = 0
        self._bar_at = clock()

    def feed(self, data: bytes) -> None:
        """Take what was printed."""
        if self._skipped or not self._affordable(len(data)):
            self._skip(data)
            return
        self._pending += data
        *whole, rest = bytes(self._pending).split(b"\n")
        for line in whole:
            self._line(line)
        self._pending = bytearray(self._without_bars(rest))
        self._cut()

    def finish(self) -> None:
        """Keep what waits for the end of its line, and the end of a flood."""
        if self._skipped:
            self._after_flood()
        if self._pending:
            self._line(bytes(self._pending))
            self._pending.clear()

    def _affordable(self, size: int) -> bool:
        now = self._clock()
        self._may = min(BURST, self._may + (now - self._may_at) * RATE)
        self._may_at = now
        if self._may < size:
            return False
        self._may -= size
        return True

    def _skip(self, data: bytes) -> None:
        """Keep the end of a flood, unread, until there is room to read on."""
        self._skipped += len(data)
        self._pending += data[-_RING:]
        del self._pending[:-_RING]
        if self._affordable(BURST // 2):
            self._after_flood()

    def _after_flood(self) -> None:
        end, skipped = bytes(self._pending), self._skipped
        self._pending.clear()
        self._skipped = 0
        if skipped > len(end):
            kept = self._end_of_flood(end)
            self._keep(f"... {skipped - len(kept)} bytes left out: printed too fast ...")
            end = kept
        *whole, rest = end.split(b"\n")
        for line in whole:
            self._line(line)
        self._pending += self._without_bars(rest)
        self._cut()

    def _end_of_flood(self, end: bytes) -> bytes:
        """Return it without its beginning, some line's, or some secret's, second half."""
        at = end.find(b"\n", 0, len(end) // 2) + 1
        if at:
            return end[at:]
        text = end.decode("utf-8", "replace")
        return text[self._masker.cut(text, self._masker.longest + _OVERLAP) :].encode()

    def _without_bars(self, rest: bytes) -> bytes:
        """Return of a line that goes on the state that shows now."""
        *before, last = rest.split(b"\r")
        states = [state for state in before if state.strip()]
        if not states:
            return last
        if not last.strip():
            return states[-1] + b"\r" + last
        now = self._clock()
        if now - self._bar_at >= BAR_S:
            self._bar_at = now
            self._line(states[-1])
        return last

    def _line(self, line: bytes) -> None:
        states = [state for state in line.split(b"\r") if state.strip()]
        text = plain((states[-1] if states else b"").decode("utf-8", "replace"))
        self._keep(self._masker.mask(self._pieces(text, LONGEST)))

    def _cut(self) -> None:
        """Keep the beginning of a line that does not end, but for what a secret may begin in."""
        most = LONGEST + self._masker.longest + _OVERLAP
        if len(self._pending) > most:
            decoder = _DECODER("replace")
            text = plain(decoder.decode(bytes(self._pending)))
            rest = self._pieces(text, most).encode()
            self._pending = bytearray(rest + decoder.getstate()[0])

    def _pieces(self, text: str, most: int) -> str:
        """Keep pieces of a text while it is longer than `most`; return the rest."""
        while len(text) > most:
            window = text[: LONGEST + self._masker.longest + _OVERLAP]
            at = self._masker.cut(window, LONGEST) or LONGEST
            self._keep(self._masker.mask(text[:at]))
            text = text[at:]
        return text
