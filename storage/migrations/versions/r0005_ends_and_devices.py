"""Attempts by their end, for what ran in a span of time, and the GPUs they had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index, and a column that is empty for what was there before."""
    op.create_index("tuner_attempts_ended", "tuner_attempts", ["ended_at"])
    op.add_column("tuner_attempts", sa.Column("devices", sa.Text(), nullable=True))
