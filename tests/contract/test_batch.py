"""Statements that go to PostgreSQL together: all or none, in order, whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, text

from storage.arrays import execute
from storage.batch import Batch, gathering
from storage.engine import database_url, writing_engine

INSERT = b"INSERT INTO t SELECT * FROM unnest($1::int[], $2::text[])"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = writing_engine(database_url(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (id int PRIMARY KEY, body text)"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def stored(connection: Connection) -> list[int]:
    connection.rollback()  # of a batch that failed
    found = list(connection.execute(text("SELECT id FROM t ORDER BY id")).scalars())
    connection.rollback()
    return found


def batch_of(connection: Connection) -> Batch:
    connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    batch = Batch(driver, connection.info)
    batch.add(b"BEGIN")
    return batch


def commit(connection: Connection, batch: Batch) -> None:
    batch.add(b"COMMIT")
    batch.run()
    connection.commit()


def test_a_failure_in_the_middle_leaves_nothing(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        for _ in range(2):
            batch = batch_of(connection)
            for ids in ("{1,2}", "{2}", "{3}"):
                batch.add(INSERT, [ids.encode(), b"{a,b}" if "," in ids else b"{a}"])
            batch.add(b"COMMIT")
            with pytest.raises(psycopg.errors.UniqueViolation):
                batch.run()
            assert stored(connection) == []
        batch = batch_of(connection)
        batch.add(INSERT, [b"{4}", b"{a}"])
        commit(connection, batch)
        assert stored(connection) == [4]


def test_other_statements_of_the_connection_keep_their_place(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        batch = batch_of(connection)
        with gathering(connection, batch):
            execute(connection, INSERT, ["{1,2}", "{a,b}"])
            connection.execute(text("DELETE FROM t WHERE id = 1"))
            execute(connection, INSERT, ["{1}", "{again}"])
        commit(connection, batch)
        assert stored(connection) == [1, 2]


def test_more_than_the_socket_holds(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        batch = batch_of(connection)
        for number in range(200):
            batch.add(INSERT, [b"{%d}" % number, b"{" + b"x" * 200_000 + b"}"])
            batch.add(b"SELECT body FROM t LIMIT 5")
        commit(connection, batch)
        assert stored(connection) == list(range(200))


def test_a_nul_is_refused_and_not_cut(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        batch = batch_of(connection)
        with pytest.raises(psycopg.DataError, match="NUL"):
            batch.add(INSERT, [b"{1}", b"{a\x00b}"])
        assert stored(connection) == []


def test_a_lost_database_is_an_error(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        batch = batch_of(connection)
        batch.add(b"SELECT pg_terminate_backend(pg_backend_pid())")
        batch.add(b"COMMIT")
        with pytest.raises(psycopg.OperationalError):
            batch.run()
        connection.invalidate()
