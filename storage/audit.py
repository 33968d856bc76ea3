"""The audit log, read page by page from SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from storage.access_rows import read_entry
from storage.ledger import Ledger
from storage.tables import audit
from tuner.access import AuditEntry


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which entries are asked for; None asks for any. `study` is an id or a name."""

    study: str | None = None
    who: str | None = None
    action: str | None = None


async def audit_entries(
    ledger: Ledger, chosen: AuditFilter, *, before: int, limit: int
) -> list[AuditEntry]:
    """Return up to `limit` entries with a `seq` below `before`, newest first."""
    query = _chosen(select(audit).where(audit.c.seq < before), chosen)
    return await _read(ledger, query.order_by(audit.c.seq.desc()).limit(limit))


async def newest_of_actions(ledger: Ledger, actions: Sequence[str], limit: int) -> list[AuditEntry]:
    """Return up to `limit` entries of some actions, newest first."""
    query = select(audit).where(audit.c.action.in_(actions))
    return await _read(ledger, query.order_by(audit.c.seq.desc()).limit(limit))


async def _read(ledger: Ledger, query: Select[Any]) -> list[AuditEntry]:
    def run(connection: Connection) -> list[AuditEntry]:
        return [read_entry(row) for row in connection.execute(query).mappings()]

    return await ledger.read(run)


def _chosen(query: Select[Any], chosen: AuditFilter) -> Select[Any]:
    if chosen.who is not None:
        query = query.where(audit.c.who == chosen.who)
    if chosen.action is not None:
        query = query.where(audit.c.action == chosen.action)
    if chosen.study is None:
        return query
    if chosen.study.isascii() and chosen.study.isdecimal():
        return query.where(audit.c.study_id == min(int(chosen.study), 2**31 - 1))
    return query.where(audit.c.study == chosen.study)
