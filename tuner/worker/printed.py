"""What a trial prints, on its way to the node's log file and to the server."""

from __future__ import annotations

from pathlib import Path

from tuner.secrets import Masker
from tuner.worker.lines import Lines
from tuner.worker.log_sender import LogStream
from tuner.worker.output import Output


class Printed:
    """The output of one attempt, without secrets from here on.

    Args:
        path: the node's log file, None to write none.
        head: bytes written to it as they come; of what follows only the end.
        stream: takes the lines to the server, None to send none.
    """

    def __init__(
        self, masker: Masker, path: Path | None, *, head: int, stream: LogStream | None
    ) -> None:
        self._output = Output(path, head=head)
        self._stream = stream
        self._lines = Lines(masker, self._keep)

    def feed(self, data: bytes) -> None:
        """Take what was printed."""
        self._lines.feed(data)

    def tail(self, most: int) -> str:
        """Return the last `most` bytes as text, a line that does not end included."""
        self._lines.finish()
        return self._output.tail(most)

    def end(self) -> None:
        """Note that nothing more is printed."""
        self._lines.finish()
        if self._stream is not None:
            self._stream.end()

    def close(self) -> None:
        """End, and close the node's log file."""
        self.end()
        self._output.close()

    def _keep(self, line: str) -> None:
        self._output.write(f"{line}\n".encode())
        if self._stream is not None:
            self._stream.add(line)
