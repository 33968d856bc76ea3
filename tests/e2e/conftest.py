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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/own.db"
    found: str = request.getfixturevalue("postgres_url")
    return found
