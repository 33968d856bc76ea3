"""What is read of webhooks beside the writer: their events, and what was tried to deliver."""

from __future__ import annotations

from sqlalchemy import Connection, select

from storage import queries
from storage.ledger import Ledger
from storage.tables import events, webhook_deliveries
from storage.webhook_rows import read_delivery
from tuner.trial import Event
from tuner.webhook import Delivery, Webhook


async def events_for(ledger: Ledger, webhook: Webhook, after: int, limit: int) -> list[Event]:
    """Return events after `after` among which a webhook's own are, in order, up to `limit`.

    Those of a commit that memory does not show yet are left for the next time.
    """
    upto = ledger.memory.tables.counters.seq - 1
    between = events.c.seq > after, events.c.seq <= upto
    query = select(events).where(*between, events.c.kind.in_(sorted(webhook.kinds)))
    if webhook.study_id is not None:
        query = query.where(events.c.study_id == webhook.study_id)
    return await queries.events_of(ledger, query.order_by(events.c.seq).limit(limit))


async def deliveries_of(ledger: Ledger, webhook_id: str, limit: int) -> list[Delivery]:
    """Return a webhook's last attempts, newest first, up to `limit`."""
    table = webhook_deliveries

    def run(connection: Connection) -> list[Delivery]:
        query = select(table).where(table.c.webhook_id == webhook_id)
        found = connection.execute(query.order_by(table.c.number.desc()).limit(limit)).mappings()
        return [read_delivery(row) for row in found]

    return await ledger.read(run)
