"""Attempts by their end, for what ran in a span of time."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index."""
    op.create_index("tuner_attempts_ended", "tuner_attempts", ["ended_at"])
