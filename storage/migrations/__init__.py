"""Alembic migrations of our own tables. Optuna's are created and migrated by Optuna."""
