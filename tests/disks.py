"""Disks that fail."""

from __future__ import annotations

import errno
import io


class Broken(io.BytesIO):
    """A file whose disk can't read it."""

    def read(self, _: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")
