"""Rows in bulk: many inserted, updated or upserted by one statement.

PostgreSQL takes all rows as one array a column, which costs it a tenth of a statement a row; SQLite
takes a statement a row. Statements are built once for each table and set of columns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, Executable, Table, bindparam, column, func, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY

from storage import rows
from storage.rows import Row

Names = tuple[str, ...]


def insert_rows(connection: Connection, table: Table, found: list[Row]) -> None:
    """Insert rows of the same columns; nothing is asked back."""
    if not found:
        return
    names = tuple(found[0])
    if connection.dialect.name == "postgresql":
        connection.execute(_insert_arrays(table, names, ()), _arrays(found, names))
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
        connection.execute(_insert_arrays(table, names, key), _arrays(last, names))
    else:
        connection.execute(_upsert(table, names, key), found)


def update_rows(connection: Connection, table: Table, found: list[Row], *key: str) -> None:
    """Update rows selected by the columns `key`; all rows set the same columns."""
    if not found:
        return
    names = tuple(found[0])
    if connection.dialect.name == "postgresql":
        connection.execute(_update_arrays(table, names, key), _arrays(found, names))
    else:
        connection.execute(_update(table, names, key), rows.prefixed(found, *key))


def execute_many(connection: Connection, statement: Executable, found: list[Row]) -> None:
    """Execute a statement once a row, and not at all without rows."""
    if found:
        connection.execute(statement, found)


# SQLite: a statement a row


@lru_cache(maxsize=256)
def _insert(table: Table) -> Executable:
    return insert(table).inline()


@lru_cache(maxsize=256)
def _upsert(table: Table, names: Names, key: Names) -> Executable:
    return _or_replace(sqlite.insert(table), names, key)


def _or_replace(statement: Any, names: Names, key: Names) -> Executable:
    values = {k: statement.excluded[k] for k in names if k not in key}
    return cast(Executable, statement.on_conflict_do_update(index_elements=list(key), set_=values))


@lru_cache(maxsize=256)
def _update(table: Table, names: Names, key: Names) -> Executable:
    where = [table.c[k] == bindparam(f"old_{k}") for k in key]
    values: dict[str, Any] = {name: bindparam(name) for name in names if name not in key}
    return update(table).where(*where).values(values)


# PostgreSQL: an array a column


def _arrays(found: list[Row], names: Names) -> Row:
    return {f"given_{name}": [row[name] for row in found] for name in names}


def _unnested(table: Table, names: Names) -> Any:
    arrays = [bindparam(f"given_{name}", type_=ARRAY(table.c[name].type)) for name in names]
    columns = [column(name, table.c[name].type) for name in names]
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


@lru_cache(maxsize=256)
def _insert_arrays(table: Table, names: Names, key: Names) -> Executable:
    given = _unnested(table, names)
    statement = postgresql.insert(table).inline()
    statement = statement.from_select(list(names), given.select(), include_defaults=False)
    return _or_replace(statement, names, key) if key else statement


@lru_cache(maxsize=256)
def _update_arrays(table: Table, names: Names, key: Names) -> Executable:
    given = _unnested(table, names)
    where = [table.c[k] == given.c[k] for k in key]
    values = {name: given.c[name] for name in names if name not in key}
    return update(table).where(*where).values(values)
