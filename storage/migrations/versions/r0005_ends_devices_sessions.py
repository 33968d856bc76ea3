"""Attempts by their end, for what ran in a span of time, and their GPUs; browsers' sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index, a column that is empty for what was there before, and a table."""
    op.create_index("tuner_attempts_ended", "tuner_attempts", ["ended_at"])
    op.add_column("tuner_attempts", sa.Column("devices", sa.Text(), nullable=True))
    op.create_table(
        "tuner_sessions",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("proof", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("ends_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
