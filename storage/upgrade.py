"""Bringing a database to this program's schema, while no server owns it."""

from __future__ import annotations

from storage.engine import database_url, writing_engine
from storage.owner import describe_process, owner_lock
from storage.schema import Version, upgrade_schema
from storage.sql_store import translated


def upgrade(url: str) -> Version:
    """Create or upgrade Optuna's tables and ours; return what was found of ours before.

    Raises:
        InvalidInput: the URL names no database we can use.
        OwnerLost: a server owns it; stop it first.
        SchemaMismatch: it was written by a newer version of the program.
        Unavailable: it does not answer.
    """
    address = database_url(url)
    lock = owner_lock(address, describe_process())
    engine = writing_engine(address)
    try:
        with translated():
            lock.acquire()
            return upgrade_schema(engine, address.render_as_string(hide_password=False))
    finally:
        engine.dispose()
        lock.release()
