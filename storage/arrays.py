"""PostgreSQL's way of many rows in one statement: an array a column, straight to the driver.

SQLAlchemy's and the driver's own ways of binding an array cost a report five times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Column, Connection, String, Table
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from storage.batch import waiting

Names = tuple[str, ...]
_DIALECT: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_quoted = _DIALECT.identifier_preparer.quote_identifier


def literal(values: Iterable[Any]) -> str:
    """Return values as PostgreSQL's text form of an array.

    Args:
        values: of one column: None, bool, int, float, str, bytes or naive datetime.
    """
    return "{" + ",".join([_FORMS[type(value)](value) for value in values]) + "}"


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_FORMS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "t" if value else "f",
    int: str,
    float: repr,
    str: _text,
    bytes: lambda value: f'"\\\\x{value.hex()}"',
    datetime: lambda value: f'"{value.isoformat(" ")}"',
}


class Bulk:
    """Statements for rows of some columns of a table; `key` names those that select a row."""

    def __init__(self, table: Table, names: Names, key: Names) -> None:
        columns = [table.c[name] for name in names]
        self._processors = [c.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) for c in columns]
        self._names = names
        here, listed = _quoted(table.name), ", ".join(map(_quoted, names))
        arrays = ", ".join(f"${i}::{_type(c)}[]" for i, c in enumerate(columns, 1))
        given = f"unnest({arrays}) AS given({listed})"
        matching = " AND ".join(f"{here}.{_quoted(k)} = given.{_quoted(k)}" for k in key)
        kept = [_quoted(name) for name in names if name not in key]

        def assigned(source: str) -> str:
            return ", ".join(f"{name} = {source}.{name}" for name in kept)

        conflict = f"({', '.join(map(_quoted, key))})"
        self.insert = f"INSERT INTO {here} ({listed}) SELECT * FROM {given}"  # noqa: S608
        self.upsert = f"{self.insert} ON CONFLICT {conflict} DO UPDATE SET {assigned('excluded')}"
        self.update = f"UPDATE {here} SET {assigned('given')} FROM {given} WHERE {matching}"  # noqa: S608
        self.delete = f"DELETE FROM {here} USING {given} WHERE {matching}"  # noqa: S608

    def run(self, connection: Connection, statement: str, found: Sequence[dict[str, Any]]) -> None:
        """Execute one of the statements within the connection's transaction."""
        arrays = []
        for name, process in zip(self._names, self._processors, strict=True):
            values = (row[name] for row in found)
            arrays.append(literal(values if process is None else map(process, values)))
        execute(connection, statement.encode(), arrays)


def execute(connection: Connection, statement: bytes, values: Sequence[str]) -> None:
    """Execute a statement with `$1`, … for values in text form: with the others of its commit."""
    if (batch := waiting(connection)) is not None:
        batch.add(statement, [value.encode() for value in values])
        return
    driver: Any = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    psycopg.RawCursor(driver).execute(statement, values)


@lru_cache(maxsize=256)
def bulk(table: Table, names: Names, key: Names = ()) -> Bulk:
    """Return the statements, made once."""
    return Bulk(table, names, key)


def _type(column: Column[Any]) -> str:
    """Return a column's type; a text's length is left to the column, which refuses longer ones."""
    if type(column.type) is String:
        return "text"
    return column.type.compile(_DIALECT)
