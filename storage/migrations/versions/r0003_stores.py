"""Artifacts of trials, marks of stores; of checkpoints only those whose files are kept."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEPT = 2
"""Files of a trial that stayed in the folder until now: its current one, and the newest other."""


def upgrade() -> None:
    """Add the tables, and forget checkpoints whose files were deleted when newer ones came."""
    op.create_table(
        "tuner_artifacts",
        sa.Column("trial_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["tuner_trials.trial_id"]),
        sa.PrimaryKeyConstraint("trial_id", "name"),
    )
    op.create_table(
        "tuner_stores",
        sa.Column("store_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("store_id"),
    )
    _forget_deleted()


def _forget_deleted() -> None:
    connection = op.get_bind()
    query = sa.text(
        "SELECT c.trial_id, c.attempt, c.step, c.path, t.checkpoint FROM tuner_checkpoints c "
        "JOIN tuner_trials t ON t.trial_id = c.trial_id "
        "ORDER BY c.trial_id, c.attempt DESC, c.step DESC"
    )
    gone, trial, kept = [], None, 0
    for row in connection.execute(query).all():
        if row.trial_id != trial:
            trial, kept = row.trial_id, 0
        if row.checkpoint is not None and json.loads(row.checkpoint)[4] == row.path:
            continue
        kept += 1
        if kept >= _KEPT:
            gone.append({"t": row.trial_id, "a": row.attempt, "s": row.step})
    if gone:
        connection.execute(
            sa.text(
                "DELETE FROM tuner_checkpoints WHERE trial_id = :t AND attempt = :a AND step = :s"
            ),
            gone,
        )
