"""Where the files of trials lie: a folder, or a store that fsspec knows."""

from storage.stores.base import Signed, Stat, Store
from storage.stores.folder import FolderStore
from storage.stores.open import folder_at, is_url, open_store

__all__ = ["FolderStore", "Signed", "Stat", "Store", "folder_at", "is_url", "open_store"]
