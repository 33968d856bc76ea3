"""A ledger on a database, and the same database looked at from beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from storage import Ledger, Transaction, open_ledger
from storage.engine import database_url
from storage.upgrade import upgrade
from tests.contract.ledger_history import History, canonical, random_params, spec
from tuner.trial import Origin

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Body = Callable[[Ledger], Awaitable[None]]


def with_ledger(url: str, body: Body) -> None:
    """Run `body` with a ledger on the database."""

    async def run() -> None:
        async with open_ledger(url) as ledger:
            await body(ledger)

    asyncio.run(run())


def lay_tables(url: str) -> None:
    """Make all tables in an empty database."""
    address = database_url(url)
    if address.get_backend_name() == "sqlite":
        Path(str(address.database)).touch()
    upgrade(url)


def loaded(url: str) -> str:
    """Return the memory that a new owner reads."""
    found: list[str] = []

    async def body(ledger: Ledger) -> None:
        found.append(canonical(ledger.memory))

    with_ledger(url, body)
    return found[0]


@contextmanager
def sql(url: str) -> Iterator[Engine]:
    """Open the database beside the ledger."""
    engine = create_engine(database_url(url))
    try:
        yield engine
    finally:
        engine.dispose()


def wait_until(condition: Callable[[], bool], what: str, patience: float = 60.0) -> None:
    """Poll until `condition` holds; fail after `patience` seconds, a safety net."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def execute(url: str, *statements: str) -> None:
    with sql(url) as engine, engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def end_connections(url: str, program: str = "tuner") -> None:
    """End a program's connections to a PostgreSQL database, by default the ledger's."""
    execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE application_name = '{program}' AND datname = current_database()",
    )


def count(url: str, table: str) -> int:
    with sql(url) as engine, engine.connect() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return found


def new_study(tx: Transaction, name: str = "s", by: str = "me") -> int:
    return tx.new_study(name, spec(), by, NOW).study_id


def new_trial(tx: Transaction, seed: int = 1) -> int:
    params = random_params(History(seed).rng, tx.study(1))
    return tx.new_trial(1, params, Origin.SAMPLED, seed, NOW).number
