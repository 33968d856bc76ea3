"""The documents a study had: written when its space changes, read when asked for.

A study whose space never changed has no rows. The first change stores the document it was submitted
with as version 1, and the changed one as version 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from storage import rows
from storage.changes import SpecChange
from storage.tables import specs
from tuner.spec import StudySpec
from tuner.study import Study


@dataclass(frozen=True, kw_only=True)
class SpecVersion:
    """A document that a study had, or has, from `at` on."""

    version: int
    spec: StudySpec
    at: datetime
    by: str


def write_specs(connection: Connection, changes: Sequence[SpecChange]) -> None:
    """Store the changed documents, each as its study's next version.

    Nothing is read here: PostgreSQL answers only when the whole change set was sent.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert: Any = dialect.insert(specs)
    for change in changes:
        study = change.study
        first = _row(study, 1, study.spec, study.created_at, study.created_by)
        connection.execute(insert.values(first).on_conflict_do_nothing().inline())
        newest = select(func.max(specs.c.version)).where(specs.c.study_id == study.study_id)
        following = newest.scalar_subquery() + 1
        row = _row(study, following, change.spec, change.at, change.by)
        connection.execute(insert.values(row).inline())


def _row(study: Study, version: Any, spec: StudySpec, at: datetime, by: str) -> rows.Row:
    return {
        "study_id": study.study_id,
        "version": version,
        "spec": spec.model_dump_json(exclude_none=True),
        "at": rows.naive(at),
        "by": by,
    }


def read_specs(connection: Connection, study: Study) -> list[SpecVersion]:
    """Return a study's documents, oldest first; its present one if it never changed."""
    query = select(specs).where(specs.c.study_id == study.study_id).order_by(specs.c.version)
    found = [
        SpecVersion(
            version=row["version"],
            spec=rows.read_spec(row["spec"]),
            at=rows.aware(row["at"]),
            by=row["by"],
        )
        for row in connection.execute(query).mappings()
    ]
    if found:
        return found
    return [SpecVersion(version=1, spec=study.spec, at=study.created_at, by=study.created_by)]
