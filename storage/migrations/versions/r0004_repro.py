"""What attempts ran on and with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table, and a column that is empty for what was there before."""
    op.create_table(
        "tuner_environments",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["tuner_studies.study_id"]),
        sa.PrimaryKeyConstraint("study_id", "digest"),
    )
    op.add_column("tuner_attempts", sa.Column("environment", sa.String(length=64), nullable=True))
