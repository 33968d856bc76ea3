"""The kept checkpoints and artifacts of trials, and the mark of their store: read from SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from storage import tables
from storage.ledger import Ledger
from storage.rows import aware
from tuner.trial import Artifact, AttemptEnd, Checkpoint


@dataclass(frozen=True, kw_only=True)
class KeptCheckpoint:
    """A checkpoint whose file is kept, and when it was registered."""

    checkpoint: Checkpoint
    at: datetime


@dataclass(frozen=True, kw_only=True)
class KeptArtifact:
    """A trial's file, and when it was registered."""

    artifact: Artifact
    at: datetime


async def kept_checkpoints(ledger: Ledger, trial_id: int) -> list[KeptCheckpoint]:
    """Return a trial's kept checkpoints, by attempt and step."""
    table = tables.checkpoints
    query = select(table).where(table.c.trial_id == trial_id)
    ordered = query.order_by(table.c.attempt, table.c.step)

    def run(connection: Connection) -> list[KeptCheckpoint]:
        return [
            KeptCheckpoint(
                checkpoint=Checkpoint(*(row[name] for name in Checkpoint._fields)),
                at=aware(row["at"]),
            )
            for row in connection.execute(ordered).mappings()
        ]

    return await ledger.read(run)


async def kept_artifacts(
    ledger: Ledger, trial_id: int, name: str | None = None
) -> list[KeptArtifact]:
    """Return a trial's artifacts in order of their names: all, or the one of a name."""
    table = tables.artifacts
    query = select(table).where(table.c.trial_id == trial_id)
    if name is not None:
        query = query.where(table.c.name == name)

    def run(connection: Connection) -> list[KeptArtifact]:
        return [
            KeptArtifact(
                artifact=Artifact(*(row[field] for field in Artifact._fields)),
                at=aware(row["at"]),
            )
            for row in connection.execute(query.order_by(table.c.name)).mappings()
        ]

    return await ledger.read(run)


async def count_artifacts(ledger: Ledger, trial_id: int) -> int:
    """Count a trial's artifacts."""
    table = tables.artifacts
    query = select(func.count()).select_from(table).where(table.c.trial_id == trial_id)
    return await ledger.read(lambda connection: int(connection.execute(query).scalar() or 0))


async def ended_with(ledger: Ledger, trial_id: int, attempt: int, token: str) -> str | None:
    """Return the id of the access token of an attempt that ended its trial, "" for none.

    None if `token` is not that attempt's lease, or the attempt did not end the trial itself.
    """
    table = tables.attempts
    query = select(table.c.token_id).where(
        table.c.trial_id == trial_id,
        table.c.attempt == attempt,
        table.c.token == token,
        table.c.ended_why == AttemptEnd.ENDED.value,
    )

    def run(connection: Connection) -> str | None:
        row = connection.execute(query).first()
        return None if row is None else row.token_id or ""

    return await ledger.read(run)
