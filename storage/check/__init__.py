"""Looking whether a database holds what it must: its own integrity, and our invariants."""

from storage.check.files import spare_files
from storage.check.finding import Finding
from storage.check.run import check

__all__ = ["Finding", "check", "spare_files"]
