"""SQLite files that have all tables already, since making them costs more than most tests."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from storage.upgrade import upgrade


def lay_database(file: Path) -> str:
    """Put a database without studies where there is none yet; return its URL."""
    if not file.exists():
        file.touch(0o600)
        file.write_bytes(_template())
    return f"sqlite:///{file}"


@functools.cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tuner.db"
        file.touch()
        upgrade(f"sqlite:///{file}")
        return file.read_bytes()
