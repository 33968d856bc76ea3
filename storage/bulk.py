"""Rows in bulk: many inserted, updated or upserted by one statement.

PostgreSQL takes all rows as one array a column, which costs it a tenth of a statement a row; SQLite
takes a statement a row. Statements are built once for each table and set of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Column, Connection, Executable, Table, bindparam, delete, insert, update
from sqlalchemy.dialects import sqlite

from storage import rows
from storage.arrays import Names, bulk
from storage.rows import Row


def insert_rows(connection: Connection, table: Table, found: list[Row]) -> None:
    """Insert rows of the same columns; nothing is asked back."""
    if not found:
        return
    names = tuple(found[0])
    if connection.dialect.name == "postgresql":
        statements = bulk(table, names)
        statements.run(connection, statements.insert, found)
    else:
        connection.execute(_insert(table), found)


def upsert_rows(connection: Connection, table: Table, found: list[Row], *key: str) -> None:
    """Insert rows of the same columns, or replace those that have the same columns `key`.

    Of several rows with the same key the last one counts.
    """
    if not found:
        return
    names = tuple(found[0])
    if connection.dialect.name == "postgresql":
        last = list({tuple(row[k] for k in key): row for row in found}.values())
        statements = bulk(table, names, key)
        statements.run(connection, statements.upsert, last)
    else:
        connection.execute(_upsert(table, names, key), found)


def update_rows(connection: Connection, table: Table, found: list[Row], *key: str) -> None:
    """Update rows selected by the columns `key`; all rows set the same columns."""
    if not found:
        return
    names = tuple(found[0])
    if connection.dialect.name == "postgresql":
        statements = bulk(table, names, key)
        statements.run(connection, statements.update, found)
    else:
        connection.execute(_update(table, names, key), rows.prefixed(found, *key))


def delete_rows(connection: Connection, key: Column[Any], values: Sequence[Any]) -> None:
    """Delete the rows that have one of some values in a column."""
    if not values:
        return
    if connection.dialect.name == "postgresql":
        statements = bulk(key.table, (key.name,), (key.name,))
        statements.run(connection, statements.delete, [{key.name: value} for value in values])
    else:
        connection.execute(delete(key.table).where(key.in_(values)))


@lru_cache(maxsize=256)
def _insert(table: Table) -> Executable:
    return insert(table).inline()


@lru_cache(maxsize=256)
def _upsert(table: Table, names: Names, key: Names) -> Executable:
    statement: Any = sqlite.insert(table)
    values = {k: statement.excluded[k] for k in names if k not in key}
    return cast(Executable, statement.on_conflict_do_update(index_elements=list(key), set_=values))


@lru_cache(maxsize=256)
def _update(table: Table, names: Names, key: Names) -> Executable:
    where = [table.c[k] == bindparam(f"old_{k}") for k in key]
    values: dict[str, Any] = {name: bindparam(name) for name in names if name not in key}
    return update(table).where(*where).values(values)
