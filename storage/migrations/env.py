"""Alembic's entry: migrate over the connection that `storage.schema` hands in."""

from __future__ import annotations

from alembic import context

from storage.schema import VERSION_TABLE
from storage.tables import metadata


def _migrate() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=lambda name, kind, _: kind != "table" or str(name).startswith("tuner_"),
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


_migrate()
