"""Fixtures of the contract tests: each runs on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from storage import open_storage
from storage.optuna_storage import LedgerStorage
from tests.contract.sample import lay_sample
from tests.postgres import Postgres


@pytest.fixture
def storage(url: str) -> Iterator[LedgerStorage]:
    """Give the ledger of an empty database as an Optuna storage."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened = open_storage(url)
    yield opened
    opened.close()
    optuna.logging.set_verbosity(before)


@pytest.fixture
def other(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a second, empty database of the same kind."""
    if url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/other.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.new_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def sample(url: str, tmp_path: Path) -> str:
    """Give a database with a trial of every kind."""
    lay_sample(url, tmp_path / "artifacts")
    return url
