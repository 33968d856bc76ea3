"""What attempts ran on and with: each part is stored once a study, for all attempts it holds of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from storage import rows
from storage.bulk import update_rows, upsert_rows
from storage.changes import StoredEnvironment
from storage.tables import attempts, environments, trials


@dataclass(frozen=True, kw_only=True)
class EnvironmentRecord:
    """What an attempt ran on and with, as JSON objects."""

    attempt: int
    started_at: datetime
    machine: dict[str, Any]
    packages: dict[str, Any]
    code: dict[str, Any]


def write_environments(connection: Connection, found: Sequence[StoredEnvironment]) -> None:
    """Store parts, and name the environment of their attempts."""
    parts = {
        (one.study_id, part.digest): {"study_id": one.study_id, **part._asdict()}
        for one in found
        for part in one.parts
    }
    upsert_rows(connection, environments, list(parts.values()), "study_id", "digest")
    named = [
        {
            "trial_id": one.trial_id,
            "attempt": one.attempt,
            "environment": one.digest,
            "devices": rows.to_json(one.devices) if one.devices else None,
        }
        for one in found
    ]
    update_rows(connection, attempts, named, "trial_id", "attempt")


def known_parts(connection: Connection, study_id: int, digests: Sequence[str]) -> set[str]:
    """Return those of some digests whose parts a study has."""
    query = select(environments.c.digest).where(
        environments.c.study_id == study_id, environments.c.digest.in_(digests)
    )
    return set(connection.execute(query).scalars())


def attempt_holder(
    connection: Connection, trial_id: int, attempt: int
) -> tuple[str, str | None] | None:
    """Return the lease's token that an attempt had, and whose it was; None if there is none."""
    query = select(attempts.c.token, attempts.c.token_id).where(
        attempts.c.trial_id == trial_id, attempts.c.attempt == attempt
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.token, row.token_id)


def read_environments(
    connection: Connection, study_id: int, number: int
) -> list[EnvironmentRecord]:
    """Return the environments recorded for a trial's attempts, in order."""
    query = (
        select(attempts.c.attempt, attempts.c.started_at, environments.c.body)
        .join(trials, trials.c.trial_id == attempts.c.trial_id)
        .join(environments, environments.c.digest == attempts.c.environment)
        .where(trials.c.study_id == study_id, trials.c.number == number)
        .where(environments.c.study_id == study_id)
        .order_by(attempts.c.attempt)
    )
    found = [(row, rows.read_mapping(row["body"])) for row in connection.execute(query).mappings()]
    wanted = {machine[kind] for _, machine in found for kind in ("packages", "code")}
    parts = _bodies(connection, study_id, sorted(wanted))
    return [_record(row, machine, parts) for row, machine in found]


def _bodies(connection: Connection, study_id: int, digests: list[str]) -> dict[str, str]:
    query = select(environments.c.digest, environments.c.body).where(
        environments.c.study_id == study_id, environments.c.digest.in_(digests)
    )
    return {row.digest: row.body for row in connection.execute(query)}


def _record(row: RowMapping, machine: dict[str, Any], parts: dict[str, str]) -> EnvironmentRecord:
    return EnvironmentRecord(
        attempt=row["attempt"],
        started_at=rows.aware(row["started_at"]),
        machine=machine,
        packages=json.loads(parts[machine["packages"]]),
        code=json.loads(parts[machine["code"]]),
    )
