"""`tuner db upgrade` on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.past import lay_past
from tests.serving import ServerProcess


def upgrade(url: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tuner", "db", "upgrade", "--db", url],
        env={**os.environ, "TUNER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_an_empty_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    (tmp_path / "new.db").touch()
    for _ in range(2):
        ran = upgrade(url, tmp_path)
        assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    with sqlite3.connect(tmp_path / "new.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert {"trials", "tuner_trials", "tuner_alembic_version"} <= tables


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ran = upgrade(f"sqlite:///{tmp_path / 'typo.db'}", tmp_path)
    assert ran.returncode == 3
    assert ran.stderr == f"error: there is no database at {tmp_path / 'typo.db'}\n"
    assert not list(tmp_path.iterdir())


def test_what_was_upgraded_is_said_once(url: str, tmp_path: Path) -> None:
    lay_past("0003", url)
    ran = upgrade(url, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.startswith("the database was upgraded from schema-0003 to schema-")
    assert ran.stderr.count("\n") == 1
    assert ("kept as" in ran.stderr) == url.startswith("sqlite")


def test_an_empty_postgresql_database(tmp_path: Path, postgres_url: str) -> None:
    ran = upgrade(postgres_url, tmp_path)
    assert ran.returncode == 0, ran.stderr
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        tables = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables")}
    assert {"trials", "tuner_trials", "tuner_alembic_version"} <= tables


def test_not_while_a_server_owns_it(tmp_path: Path) -> None:
    with ServerProcess(tmp_path):
        ran = upgrade(f"sqlite:///{tmp_path / 'tuner.db'}", tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("none", ["oracle://x", "postgresql://u:secret@h:notaport/x"])
def test_a_url_that_is_none(none: str, tmp_path: Path) -> None:
    ran = upgrade(none, tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the database")
    assert "secret" not in ran.stderr
