"""Alembic migrations of our own tables. Optuna's are created and migrated by Optuna."""

from __future__ import annotations

from pathlib import Path

from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent


def known_revisions(folder: Path | None = None) -> list[str]:
    """Return the revisions of our tables, or those in another folder, newest first."""
    return [r.revision for r in ScriptDirectory(str(folder or FOLDER)).walk_revisions()]
