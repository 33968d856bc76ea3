"""The schema: what migrations build is what the tables say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from storage import open_ledger
from storage.engine import database_url
from storage.schema import VERSION_TABLE
from storage.tables import metadata


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migrations_build_what_the_tables_say(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url")

    async def start() -> None:
        async with open_ledger(url):
            pass

    asyncio.run(start())
    engine = create_engine(database_url(url))
    with engine.connect() as connection:
        options = {
            "version_table": VERSION_TABLE,
            "include_name": lambda name, what, _: what != "table" or name.startswith("tuner_"),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
