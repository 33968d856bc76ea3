"""Versions of study documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of versions; a study whose space never changed has none there."""
    op.create_table(
        "tuner_specs",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["tuner_studies.study_id"]),
        sa.PrimaryKeyConstraint("study_id", "version"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("tuner_specs")
