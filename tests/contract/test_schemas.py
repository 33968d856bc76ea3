"""Databases of every released schema: upgraded, refused, and kept as they were."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from storage import migrations
from storage.backup import backup, restore
from storage.migrations import known_revisions
from storage.upgrade import upgrade
from tests.contract.ledger_database import execute, lay_tables, loaded, sql
from tests.fixtures.past import SCHEMAS, expected, facts, lay_past
from tuner.errors import Conflict, SchemaMismatch, TunerError

RELEASED = known_revisions()
RELEASED_FOLDER = migrations.FOLDER
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade():
    op.add_column("tuner_studies", sa.Column("color", sa.Text()))
    op.create_table(
        "tuner_colors",
        sa.Column("study_id", sa.Integer(), sa.ForeignKey("studies.study_id")),
    )
    {after}
"""


def columns(url: str) -> set[str]:
    with sql(url) as engine:
        return {column["name"] for column in inspect(engine).get_columns("tuner_studies")}


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this program one that knows a schema more; return that revision's file."""
    folder = tmp_path / "100%/migrations"
    shutil.copytree(migrations.FOLDER, folder)
    file = folder / "versions/next.py"
    file.write_text(NEXT.format(head=RELEASED[0], after=""))
    monkeypatch.setattr(migrations, "FOLDER", folder)
    return file


@pytest.mark.parametrize("revision", RELEASED)
def test_a_database_of_each_released_schema_is_brought_up(url: str, revision: str) -> None:
    lay_past(revision, url)
    upgrade(url)
    assert facts(url) == expected(revision)


@pytest.mark.parametrize("revision", RELEASED)
def test_each_revision_is_kept_as_it_was_released(revision: str) -> None:
    """A missing one is made by `python -m tests.fixtures.make_schema`, before the release."""
    kept = {path.name for path in SCHEMAS.glob(f"{revision}.*")}
    ends = ("json", "sqlite.xz", "postgresql.sql.xz")
    assert kept == {f"{revision}.{end}" for end in ends}


def test_the_newest_kept_database_has_the_tables_made_now(url: str, other: str) -> None:
    """No revision that was released is changed afterwards."""

    def described(place: str) -> dict[str, list[str]]:
        with sql(place) as engine:
            look = inspect(engine)
            ours = (name for name in look.get_table_names() if name.startswith("tuner_"))
            return {
                name: [
                    repr(found)
                    for found in (
                        sorted(
                            (c["name"], str(c["type"]), c["nullable"])
                            for c in look.get_columns(name)
                        ),
                        sorted((i["name"], i["column_names"]) for i in look.get_indexes(name)),
                        look.get_pk_constraint(name)["constrained_columns"],
                    )
                ]
                for name in ours
            }

    lay_past(RELEASED[0], url)
    lay_tables(other)
    assert described(url) == described(other)


@pytest.mark.usefixtures("following")
def test_sqlite_is_upgraded_at_the_start_and_kept_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "tuner.db"
    url = f"sqlite:///{file}"
    lay_past(RELEASED[0], url)
    assert facts(url) == expected(RELEASED[0])
    assert "color" in columns(url)
    kept = tmp_path / f"tuner.db.schema-{RELEASED[0]}"
    assert kept.stat().st_mode & 0o077 == 0
    assert "color" not in columns(f"sqlite:///{kept}")


@pytest.mark.usefixtures("following")
def test_postgresql_waits_for_a_word(postgres_url: str) -> None:
    lay_past(RELEASED[0], postgres_url)
    with pytest.raises(SchemaMismatch, match=r"make a backup, then run `tuner db upgrade`"):
        loaded(postgres_url)
    assert "color" not in columns(postgres_url)
    upgrade(postgres_url)
    assert facts(postgres_url) == expected(RELEASED[0])
    assert "color" in columns(postgres_url)


def test_a_backup_goes_before_an_upgrade_and_undoes_it(
    url: str, tmp_path: Path, following: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that knows more backs the older database up; the older program restores it."""
    lay_past(RELEASED[0], url)
    backup(url, tmp_path / "before")
    assert upgrade(url).before.found == RELEASED[0]
    with pytest.raises(Conflict):
        restore(url, tmp_path / "before")
    monkeypatch.setattr(migrations, "FOLDER", RELEASED_FOLDER)
    assert not restore(url, tmp_path / "before", force=True).outdated
    assert _without_leases(facts(url)) == _without_leases(expected(RELEASED[0]))
    monkeypatch.setattr(migrations, "FOLDER", following.parents[1])
    assert upgrade(url).older == f"schema-{RELEASED[0]}"
    assert "color" in columns(url)


def _without_leases(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a restore changes: who held trials, and the events that tell of it."""
    studies = {
        name: [{k: v for k, v in t.items() if k not in ("lease", "attempt")} for t in s["trials"]]
        for name, s in found["studies"].items()
    }
    return {"studies": studies, "reports": found["rows"]["reports"]}


def test_a_failing_upgrade_leaves_the_database_as_it_was(url: str, following: Path) -> None:
    after = 'op.execute("INSERT INTO nowhere VALUES (1)")'
    following.write_text(NEXT.format(head=RELEASED[0], after=after))
    lay_past(RELEASED[0], url)
    with pytest.raises(TunerError, match="nowhere"):
        upgrade(url)
    assert "color" not in columns(url)


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    loaded(url)
    execute(url, "UPDATE tuner_alembic_version SET version_num = '9999'")
    for attempt in (loaded, upgrade):
        with pytest.raises(SchemaMismatch, match="written by a newer version of tuner"):
            attempt(url)
