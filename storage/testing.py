"""Helpers for tests that need a ledger and no database."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from storage.ledger import Ledger
from storage.open import run_ledger
from storage.store import NullStore


def memory_ledger() -> AbstractAsyncContextManager[Ledger]:
    """Yield a ledger that keeps everything in memory and stores nothing."""
    return run_ledger(NullStore)
