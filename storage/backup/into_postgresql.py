"""A backup in the place of a PostgreSQL database, in one transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from optuna.storages._rdb.models import BaseModel
from sqlalchemy import URL, Connection, NullPool, create_engine, func, inspect, select, text

from storage.backup import programs
from storage.restored import former, settle
from storage.schema import VERSION_TABLE
from storage.snapshot import require_known
from storage.tables import optuna_studies
from tuner.errors import Conflict, InvalidInput, Unavailable

_CONNECT_S = 5


def restore(address: URL, file: Path, *, force: bool) -> tuple[str, int]:
    """Return the backup's revision and its number of studies, once it is in place.

    The caller holds the owner's lock. While the restored tables have no owner's row yet, whoever
    owned them before is refused, too.
    """
    engine = create_engine(
        address, poolclass=NullPool,
        connect_args={"connect_timeout": _CONNECT_S, "application_name": "tuner-restore"},
    )  # fmt: skip
    with engine.connect() as connection:
        programs.require("pg_restore", connection)
        programs.require("psql", connection)
        before, tables = former(connection), _ours(connection)
    if not force and not before.empty:
        raise Conflict(f"{address.database} holds studies already; give --force to replace them")
    revision = _verified(file)
    _replace(address, file, tables)
    with engine.begin() as connection:
        settle(connection, before)
        studies = connection.execute(select(func.count(optuna_studies.c.study_id))).scalar_one()
        connection.execute(text("ANALYZE"))
    return revision, studies


def _ours(connection: Connection) -> list[str]:
    """Return our tables and Optuna's that are there, newer versions' too."""
    optunas = {*BaseModel.metadata.tables, "alembic_version"}
    found = inspect(connection).get_table_names()
    return [name for name in found if name in optunas or name.startswith("tuner_")]


def _replace(address: URL, file: Path, tables: Sequence[str]) -> None:
    """Put the backup's tables in the place of these, which may be newer, in one transaction."""
    with tempfile.TemporaryDirectory() as folder:
        drop, script = Path(folder, "drop.sql"), Path(folder, "restore.sql")
        drop.write_text("".join(f'DROP TABLE "{name}" CASCADE;\n' for name in tables))
        programs.run(
            "pg_restore", "--clean", "--if-exists", "--no-owner", "--no-privileges",
            f"--file={script}", str(file.absolute()),
        )  # fmt: skip
        programs.run(
            "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--output=/dev/null",
            "--set=ON_ERROR_STOP=1", f"--file={drop}", f"--file={script}", url=address,
        )  # fmt: skip


def _verified(file: Path) -> str:
    """Read the whole backup and return its revision. Raises InvalidInput, SchemaMismatch."""
    path = str(file.absolute())
    try:
        programs.run("pg_restore", "--file=/dev/null", path)
        rows = programs.run(
            "pg_restore", "--data-only", f"--table={VERSION_TABLE}", "--file=-", path
        )
    except Unavailable as exc:
        raise InvalidInput(f"{file} is no whole backup: {exc.detail}") from exc
    _, _, data = rows.partition("FROM stdin;\n")
    return require_known(data.partition("\n")[0] if data[:1].isalnum() else None)
