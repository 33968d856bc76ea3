"""What tests of real processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Serve from a folder of its own. Modules with other needs have a fixture of this name."""
    folder = tmp_path / "server"
    folder.mkdir()
    with ServerProcess(folder) as process:
        yield process
