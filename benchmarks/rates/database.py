"""The bare database: commits one by one, and rows in groups of 100, as one writer does them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

GROUP = 100
_TABLE = (
    "CREATE TABLE r (trial BIGINT, attempt INT, step INT, value DOUBLE PRECISION, at TEXT, "
    "PRIMARY KEY (trial, attempt, step))"
)
_AT = "2026-01-01T00:00:00.000000"
Row = tuple[int, int, int, float, str]


def sqlite_rates(file: Path, seconds: float) -> dict[str, float]:
    """Measure SQLite in WAL mode with `synchronous=FULL`."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(_TABLE)

    def write(rows: list[Row]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO r VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")

    try:
        return _rates(write, seconds)
    finally:
        connection.close()


def postgres_rates(url: str, seconds: float) -> dict[str, float]:
    """Measure PostgreSQL; `url` in SQLAlchemy's form."""
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(_TABLE)

        def write(rows: list[Row]) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany("INSERT INTO r VALUES (%s, %s, %s, %s, %s)", rows)

        return _rates(write, seconds)


def _rates(write: Callable[[list[Row]], None], seconds: float) -> dict[str, float]:
    commits = _per_second(write, 1, seconds, 1)
    groups = _per_second(write, GROUP, seconds, 2)
    return {"commits_per_s": commits, "rows_per_s": GROUP * groups}


def _per_second(
    write: Callable[[list[Row]], None], size: int, seconds: float, attempt: int
) -> float:
    began, done = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds:
        write([(done, attempt, step, 0.5, _AT) for step in range(size)])
        done += 1
    return done / took
