"""The tests' own PostgreSQL server keeps its word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from tests.postgres import Postgres

OWNER = """
import sys, time
from tests.postgres import Postgres
with Postgres() as server:
    print(server.pid, server.folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as one:
        yield one


def _connect(server: Postgres, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.url(database).replace("+psycopg", ""), autocommit=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_each_test_gets_an_empty_database(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url)
    try:
        assert sa.inspect(engine).get_table_names() == []
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE left_behind (id int)"))
    finally:
        engine.dispose()


test_and_so_does_the_next = test_each_test_gets_an_empty_database


@pytest.mark.parametrize("immediate", [False, True])
def test_what_was_committed_survives_a_restart(server: Postgres, immediate: bool) -> None:
    database = server.new_database()
    with _connect(server, database) as connection:
        connection.execute("CREATE TABLE t (id int)")
        connection.execute("INSERT INTO t VALUES (7)")
        server.restart(immediate=immediate)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with _connect(server, database) as connection:
        assert connection.execute("SELECT id FROM t").fetchall() == [(7,)]


def test_a_stopped_server_refuses_and_starts_again(server: Postgres) -> None:
    server.stop()
    try:
        assert server.pid is None
        with pytest.raises(psycopg.OperationalError):
            _connect(server, "postgres")
    finally:
        server.start()
    _connect(server, "postgres").close()


def test_it_wants_the_password(server: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://tuner:guess@127.0.0.1:{server.port}/postgres")


@pytest.mark.parametrize(("durable", "fsync"), [(False, "off"), (True, "on")])
def test_durability_is_a_choice(durable: bool, fsync: str) -> None:
    with Postgres(durable=durable) as one, _connect(one, "postgres") as connection:
        assert connection.execute("SHOW fsync").fetchone() == (fsync,)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_closing_leaves_nothing_behind() -> None:
    with Postgres() as one:
        pid, folder = one.pid, one.folder
    assert pid is not None
    assert _gone(pid)
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of the promise is Linux's")
def test_it_ends_with_a_killed_owner() -> None:
    root = Path(__file__).parents[2]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)
    _wait_until(lambda: _gone(int(pid)))
    with Postgres() as next_one:
        assert not Path(folder.decode()).exists()
        assert next_one.folder.exists()
