"""The share of a GPU that a trial needs at least."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column that is empty for what was there before."""
    op.add_column("tuner_trials", sa.Column("share", sa.Double(), nullable=True))
