"""The ledger: memory decides, SQL remembers."""

from storage.changes import Committed, StoredReply
from storage.index import Listing
from storage.ledger import Ledger
from storage.memory import Memory, Reader
from storage.open import open_ledger
from storage.optuna_storage import open_storage
from storage.transaction import Transaction

__all__ = [
    "Committed",
    "Ledger",
    "Listing",
    "Memory",
    "Reader",
    "StoredReply",
    "Transaction",
    "open_ledger",
    "open_storage",
]
