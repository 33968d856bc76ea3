"""`tuner db upgrade` on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg

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
    for _ in range(2):
        ran = upgrade(url, tmp_path)
        assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    with sqlite3.connect(tmp_path / "new.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert {"trials", "tuner_trials", "tuner_alembic_version"} <= tables


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


def test_a_url_that_is_none(tmp_path: Path) -> None:
    ran = upgrade("oracle://x", tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")
