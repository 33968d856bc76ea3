"""What the databases themselves can tell of their integrity."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from storage.check.finding import Finding

INTEGRITY = "integrity"
_MOST = 100
_UNCHECKED = """
    SELECT conrelid::regclass::text AS place, conname AS name FROM pg_constraint c
    JOIN pg_namespace n ON n.oid = c.connamespace
    WHERE n.nspname = current_schema() AND NOT convalidated
    UNION ALL
    SELECT indrelid::regclass::text, indexrelid::regclass::text FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND NOT indisvalid
"""
_OWNED = """
    SELECT s.relname AS sequence, t.relname AS place, a.attname AS name
    FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
        AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class t ON t.oid = d.refobjid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    JOIN pg_namespace n ON n.oid = s.relnamespace
    WHERE s.relkind = 'S' AND n.nspname = current_schema()
"""


def broken_constraints(connection: Connection) -> Iterator[Finding]:
    """Yield damage that the database finds in itself."""
    if connection.dialect.name == "sqlite":
        yield from _sqlite(connection)
        return
    for row in connection.execute(text(_UNCHECKED)):
        yield Finding(rule="constraint", message=f"{row.name} of {row.place} is not in force")


def _sqlite(connection: Connection) -> Iterator[Finding]:
    for (line,) in connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})"):
        if line != "ok":
            yield Finding(rule=INTEGRITY, message=line)
    for table, row_id, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        message = f"row {row_id} of {table} belongs to a row of {parent} that does not exist"
        yield Finding(rule="foreign-key", message=message)


def sequences_behind(connection: Connection) -> Iterator[Finding]:
    """Yield PostgreSQL's sequences whose next id is taken already."""
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    for sequence, table, column in connection.execute(text(_OWNED)).all():
        query = (
            f"SELECT (SELECT max({quote(column)}) FROM {quote(table)}) AS high,"  # noqa: S608
            f" last_value + CASE WHEN is_called THEN 1 ELSE 0 END AS next FROM {quote(sequence)}"
        )
        row = connection.execute(text(query)).one()
        if row.high is not None and row.next <= row.high:
            message = f"{sequence} gives {row.next} next, and {table}.{column} holds {row.high}"
            yield Finding(rule="sequence", message=message)
