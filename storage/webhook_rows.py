"""Webhooks as rows: their way in with a commit, and back into memory."""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, delete, select

from storage import rows
from storage.bulk import insert_rows, upsert_rows
from storage.changes import Changes
from storage.rows import Row
from storage.tables import webhook_deliveries, webhooks
from tuner.webhook import Delivery, Topic, Webhook

KEPT = 100
"""Attempts kept of each webhook."""


def load_webhooks(connection: Connection) -> dict[str, Webhook]:
    """Read all webhooks, oldest first."""
    query = select(webhooks).order_by(webhooks.c.created_at, webhooks.c.webhook_id)
    return {row["webhook_id"]: _webhook(row) for row in connection.execute(query).mappings()}


def write_webhooks(connection: Connection, changes: Changes) -> None:
    """Write what a change set says of webhooks, and forget their old attempts."""
    table = webhook_deliveries
    gone = [i for i, webhook in changes.webhooks.items() if webhook is None]
    if gone:
        connection.execute(delete(table).where(table.c.webhook_id.in_(gone)))
        connection.execute(delete(webhooks).where(webhooks.c.webhook_id.in_(gone)))
    kept = [_webhook_row(w) for w in changes.webhooks.values() if w is not None]
    upsert_rows(connection, webhooks, kept, "webhook_id")
    tried = [d for d in changes.deliveries if d.webhook_id not in gone]
    insert_rows(connection, table, [_delivery_row(d) for d in tried])
    for webhook_id, number in {d.webhook_id: d.number for d in tried}.items():
        old = (table.c.webhook_id == webhook_id, table.c.number <= number - KEPT)
        connection.execute(delete(table).where(*old))


def _webhook_row(webhook: Webhook) -> Row:
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "secret": webhook.secret,
        "topics": rows.to_json(webhook.topics),
        "project": webhook.project,
        "study_id": webhook.study_id,
        "active": webhook.active,
        "reason": webhook.reason,
        "cursor": webhook.cursor,
        "attempts": webhook.attempts,
        "failing_since": rows.naive_or_none(webhook.failing_since),
        "deliveries": webhook.deliveries,
        "created_by": webhook.created_by,
        "created_at": rows.naive(webhook.created_at),
    }


def _webhook(row: RowMapping) -> Webhook:
    return Webhook(
        webhook_id=row["webhook_id"],
        url=row["url"],
        secret=row["secret"],
        topics=tuple(Topic(name) for name in rows.read_strings(row["topics"])),
        project=row["project"],
        study_id=row["study_id"],
        active=row["active"],
        reason=row["reason"],
        cursor=row["cursor"],
        attempts=row["attempts"],
        failing_since=rows.aware_or_none(row["failing_since"]),
        deliveries=row["deliveries"],
        created_by=row["created_by"],
        created_at=rows.aware(row["created_at"]),
    )


def _delivery_row(delivery: Delivery) -> Row:
    return {**vars(delivery), "topic": str(delivery.topic), "at": rows.naive(delivery.at)}


def read_delivery(row: RowMapping) -> Delivery:
    """Return a stored attempt."""
    return Delivery(**{**row, "at": rows.aware(row["at"])})
