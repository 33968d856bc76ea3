"""Tokens and the audit log: as rows, and back."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, RowMapping, select

from storage import rows, tables
from storage.bulk import delete_rows, insert_rows, upsert_rows
from storage.rows import Row
from tuner.access import AuditEntry, Role, Token


def write_access(
    connection: Connection, tokens: Mapping[str, Token | None], audit: tuple[AuditEntry, ...]
) -> None:
    """Write changed tokens by digest, None for those revoked, and append to the audit log.

    Sessions go with their token.
    """
    kept = [_token_row(t) for t in tokens.values() if t is not None]
    upsert_rows(connection, tables.tokens, kept, "token_id")
    gone = [digest for digest, t in tokens.items() if t is None]
    delete_rows(connection, tables.tokens.c.digest, gone)
    delete_rows(connection, tables.sessions.c.digest, gone)
    insert_rows(connection, tables.audit, [_entry_row(e) for e in audit])


def read_tokens(connection: Connection) -> dict[str, Token]:
    """Return all tokens by digest, oldest first."""
    table = tables.tokens
    query = select(table).order_by(table.c.created_at, table.c.token_id)
    return {row["digest"]: _token(row) for row in connection.execute(query).mappings()}


def _token_row(token: Token) -> Row:
    return {
        "token_id": token.token_id,
        "digest": token.digest,
        "name": token.name,
        "role": token.role.value,
        "project": token.project,
        "created_by": token.created_by,
        "created_at": rows.naive(token.created_at),
        "expires_at": rows.naive_or_none(token.expires_at),
    }


def _token(row: RowMapping) -> Token:
    return Token(
        token_id=row["token_id"],
        digest=row["digest"],
        name=row["name"],
        role=Role(row["role"]),
        project=row["project"],
        created_by=row["created_by"],
        created_at=rows.aware(row["created_at"]),
        expires_at=rows.aware_or_none(row["expires_at"]),
    )


def _entry_row(entry: AuditEntry) -> Row:
    return {
        "at": rows.naive(entry.at),
        "who": entry.who,
        "token_id": entry.token_id,
        "address": entry.address,
        "action": entry.action,
        "study_id": entry.study_id,
        "study": entry.study,
        "detail": rows.to_json(dict(entry.detail)),
    }


def read_entry(row: RowMapping) -> AuditEntry:
    """Return an entry of the audit log."""
    return AuditEntry(
        seq=row["seq"],
        at=rows.aware(row["at"]),
        who=row["who"],
        token_id=row["token_id"],
        address=row["address"],
        action=row["action"],
        study_id=row["study_id"],
        study=row["study"],
        detail=rows.read_mapping(row["detail"]),
    )
