"""Fixtures for all layers of tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.postgres import Postgres

pytest_plugins = ["tests.skips", "tests.bucket"]

# Time is no part of what a property says: a loaded machine must not fail it. The rest is as the
# profile in force has it; in CI that is Hypothesis's own, which repeats the same examples.
hypothesis.settings.register_profile(
    "tuner",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "long", parent=hypothesis.settings.get_profile("tuner"), max_examples=10_000
)
hypothesis.settings.load_profile("tuner")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests, and what they start, away from the user's own data and settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("TUNER_"):
                patch.delenv(name)
        patch.setenv("TUNER_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Let what tests start answer to Ctrl-C, which a shell's background jobs are deaf to."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Serve PostgreSQL, one server a test process. Tests that stop it start one of their own."""
    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """Give the URL of an empty database that is this test's own."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tuner.db"
    found: str = request.getfixturevalue("postgres_url")
    return found
