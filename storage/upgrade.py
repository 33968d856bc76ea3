"""Bringing a database to this program's schema, while no server owns it."""

from __future__ import annotations

from pathlib import Path

from storage.engine import database_url, writing_engine
from storage.owner import describe_process, owner_lock
from storage.schema import Upgraded, upgrade_schema
from storage.sql_store import translated
from tuner.errors import NotFound


def upgrade(url: str) -> Upgraded:
    """Create or upgrade Optuna's tables and ours in a database, which may be empty.

    Raises:
        InvalidInput: the URL names no database we can use.
        NotFound: there is no such file.
        OwnerLost: a server owns it; stop it first.
        SchemaMismatch: it was written by a newer version of the program.
        Unavailable: it does not answer.
    """
    address = database_url(url)
    if address.get_backend_name() == "sqlite" and not Path(str(address.database)).is_file():
        raise NotFound(f"there is no database at {address.database}")
    lock = owner_lock(address, describe_process())
    engine = writing_engine(address)
    try:
        with translated():
            lock.acquire()
            return upgrade_schema(engine, address.render_as_string(hide_password=False))
    finally:
        engine.dispose()
        lock.release()
