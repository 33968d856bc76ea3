"""The schema: Optuna's tables by Optuna's own code, ours by Alembic."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from optuna.storages import RDBStorage, _rdb
from sqlalchemy import Connection, Engine, NullPool
from sqlalchemy.exc import DBAPIError

from storage import migrations
from storage.safety_copy import keep_copy
from tuner.errors import SchemaMismatch, TunerError

VERSION_TABLE = "tuner_alembic_version"
_OPTUNA_TABLE = "alembic_version"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Version:
    """What a database has of one of the two schemas, None if nothing, and what is known here."""

    found: str | None
    known: tuple[str, ...]

    @property
    def head(self) -> str:
        """The newest revision known."""
        return self.known[0]

    @property
    def newer(self) -> bool:
        """Whether another program wrote it, which knows more."""
        return self.found is not None and self.found not in self.known

    @property
    def older(self) -> bool:
        """Whether it can be upgraded."""
        return self.found in self.known[1:]


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """What was done to a database: `older` names its schema before, `kept` a copy of it then."""

    before: Version
    older: str | None = None
    kept: Path | None = None


def prepare(engine: Engine, url: str) -> None:
    """Create what is missing; bring SQLite up to date, keeping a copy. Raises SchemaMismatch.

    PostgreSQL with older tables waits for an explicit `upgrade`: a backup comes first.
    """
    require_fit(engine)
    done = _bring_up(engine, url, upgrade_optuna=_optunas(engine).older)
    if done.older is not None:
        _log.warning("the database was upgraded from %s, kept as %s", done.older, done.kept)


def require_fit(engine: Engine) -> None:
    """Refuse what this program can't serve: newer tables, and on PostgreSQL older ones.

    Raises:
        SchemaMismatch: with what to do about it.
    """
    _refuse_newer(engine)
    if engine.dialect.name == "sqlite":
        return
    ours, optunas = _ours(engine), _optunas(engine)
    hint = "stop every server, make a backup, then run `tuner db upgrade`"
    if ours.older:
        raise SchemaMismatch(
            f"the database has schema {ours.found}, this program needs {ours.head}: {hint}"
        )
    if optunas.older:
        raise SchemaMismatch(
            f"Optuna's tables have schema {optunas.found}, the Optuna installed here needs "
            f"{optunas.head}: {hint}"
        )


def upgrade_schema(engine: Engine, url: str) -> Upgraded:
    """Bring Optuna's tables and ours up to date.

    Raises:
        SchemaMismatch: a newer program wrote the database.
    """
    _refuse_newer(engine)
    return _bring_up(engine, url, upgrade_optuna=True)


def current_revision(engine: Engine) -> str | None:
    """Return the revision of our tables, None before there are any."""
    return _revision(engine, VERSION_TABLE)


def _refuse_newer(engine: Engine) -> None:
    ours, optunas = _ours(engine), _optunas(engine)
    if ours.newer:
        raise SchemaMismatch(
            f"the database has schema {ours.found}, which this program does not know: "
            "it was written by a newer version of tuner; install that one"
        )
    if optunas.newer:
        raise SchemaMismatch(
            f"Optuna's tables have schema {optunas.found}, which Optuna {optuna.__version__} does "
            "not know: they were written by a newer version of Optuna; install that one"
        )


def _bring_up(engine: Engine, url: str, *, upgrade_optuna: bool) -> Upgraded:
    ours, optunas = _ours(engine), _optunas(engine)
    if not (ours.older or optunas.older):
        _migrate(engine, url, ours, upgrade_optuna=upgrade_optuna)
        return Upgraded(before=ours)
    old = f"schema-{ours.found}" if ours.older else f"optuna-{optunas.found}"
    kept = keep_copy(engine, old)
    try:
        _migrate(engine, url, ours, upgrade_optuna=upgrade_optuna)
    except DBAPIError as exc:
        if exc.connection_invalidated:
            raise
        where = f"; the database as it was is {kept}" if kept else ""
        raise TunerError(f"the upgrade from {old} failed: {exc.orig}{where}") from exc
    return Upgraded(before=ours, older=old, kept=kept)


def _migrate(engine: Engine, url: str, ours: Version, *, upgrade_optuna: bool) -> None:
    _prepare_optuna(url, upgrade=upgrade_optuna)
    if ours.found != ours.head:
        with engine.begin() as connection:
            command.upgrade(_config(connection), "head")


def _ours(engine: Engine) -> Version:
    return _version(engine, VERSION_TABLE, migrations.FOLDER)


def _optunas(engine: Engine) -> Version:
    return _version(engine, _OPTUNA_TABLE, Path(str(_rdb.__file__)).parent / "alembic")


def _version(engine: Engine, table: str, scripts: Path) -> Version:
    known = migrations.known_revisions(scripts)
    return Version(found=_revision(engine, table), known=tuple(known))


def _revision(engine: Engine, table: str) -> str | None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": table})
        return context.get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _prepare_optuna(url: str, *, upgrade: bool) -> None:
    """Let Optuna create its tables and check their version."""
    template = url.replace("{", "{{").replace("}", "}}")
    try:
        # Without a pool: where this raises, nobody could close what the pool holds.
        storage = RDBStorage(
            template, engine_kwargs={"poolclass": NullPool}, skip_compatibility_check=upgrade
        )
    except RuntimeError as exc:
        raise SchemaMismatch(f"Optuna's tables do not fit this version of Optuna: {exc}") from exc
    try:
        if upgrade:
            with _own_logging():
                storage.upgrade()
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Keep Optuna's migrations from setting up this process's logging."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
