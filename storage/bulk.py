"""Rows in bulk: many inserted, updated or upserted by one statement."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection, Executable, Table, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from storage import rows
from storage.rows import Row


def insert_rows(connection: Connection, table: Table, found: list[Row]) -> None:
    """Insert rows; nothing is asked back."""
    execute_many(connection, insert(table).inline(), found)


def execute_many(connection: Connection, statement: Executable, found: list[Row]) -> None:
    """Execute a statement once a row, and not at all without rows."""
    if found:
        connection.execute(statement, found)


def update_rows(connection: Connection, table: Table, found: list[Row], *key: str) -> None:
    """Update rows selected by the columns `key`; all rows set the same columns."""
    if not found:
        return
    where = [table.c[k] == bindparam(f"old_{k}") for k in key]
    values: dict[str, Any] = {name: bindparam(name) for name in found[0] if name not in key}
    connection.execute(update(table).where(*where).values(values), rows.prefixed(found, *key))


def upsert_rows(connection: Connection, table: Table, found: list[Row], *key: str) -> None:
    """Insert rows, or replace those that have the same columns `key`."""
    if not found:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = cast(Any, dialect).insert(table).inline()
    values = {k: statement.excluded[k] for k in found[0] if k not in key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=values), found
    )
