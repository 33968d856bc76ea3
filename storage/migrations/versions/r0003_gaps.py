"""The highest event number given, where the events that had it are deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: what was deleted before is not known."""
    op.create_table(
        "tuner_numbers",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind"),
    )
