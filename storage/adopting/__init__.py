"""Taking over a study of plain Optuna: read it, say it in our words, cut it into messages."""

from storage.adopting.document import Plan, plan
from storage.adopting.messages import batches, tellable
from storage.adopting.source import Source, read

__all__ = ["Plan", "Source", "batches", "plan", "read", "tellable"]
