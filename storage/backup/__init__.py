"""Backups, taken while a server runs, and their way back."""

from storage.backup.restore import Restored, restore
from storage.backup.take import backup

__all__ = ["Restored", "backup", "restore"]
