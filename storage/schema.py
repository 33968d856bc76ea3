"""The schema: Optuna's tables by Optuna's own code, ours by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine

from tuner.errors import SchemaMismatch

VERSION_TABLE = "tuner_alembic_version"


def prepare(engine: Engine, url: str) -> None:
    """Create what is missing; bring SQLite up to date. Raises SchemaMismatch.

    PostgreSQL with older tables waits for an explicit `upgrade`: a backup comes first.
    """
    revision = current_revision(engine)
    _refuse_unknown(revision)
    if revision is not None and revision != _head() and engine.dialect.name != "sqlite":
        raise SchemaMismatch(
            f"the database has schema {revision}, this program needs {_head()}: "
            "make a backup, then run `tuner db upgrade`"
        )
    _prepare_optuna(url, upgrade=False)
    if revision != _head():
        _upgrade_ours(engine)


def upgrade_schema(engine: Engine, url: str) -> None:
    """Bring Optuna's tables and ours up to date. Raises SchemaMismatch for a newer database."""
    _refuse_unknown(current_revision(engine))
    _prepare_optuna(url, upgrade=True)
    _upgrade_ours(engine)


def current_revision(engine: Engine) -> str | None:
    """Return the revision of our tables, None before there are any."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _refuse_unknown(revision: str | None) -> None:
    known = {r.revision for r in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaMismatch(
            f"the database has schema {revision}, which this program does not know: "
            "it was written by a newer version of tuner; install that one"
        )


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade_ours(engine: Engine) -> None:
    with engine.begin() as connection:
        command.upgrade(_config(connection), "head")


def _prepare_optuna(url: str, *, upgrade: bool) -> None:
    """Let Optuna create its tables and check their version."""
    template = url.replace("{", "{{").replace("}", "}}")
    try:
        storage = RDBStorage(template, skip_compatibility_check=upgrade)
    except RuntimeError as exc:
        raise SchemaMismatch(f"Optuna's tables do not fit this version of Optuna: {exc}") from exc
    try:
        if upgrade:
            storage.upgrade()
    finally:
        storage.remove_session()
        storage.engine.dispose()
