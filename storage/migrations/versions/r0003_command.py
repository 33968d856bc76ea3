"""What workers allow of commands, and of the variables that studies set."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that are empty for workers which registered before."""
    op.add_column("tuner_workers", sa.Column("allow_commands", sa.Text(), nullable=True))
    op.add_column("tuner_workers", sa.Column("allow_env", sa.Text(), nullable=True))
