"""Optuna's studies and trials in the ledger, as values, in memory and in SQL."""
