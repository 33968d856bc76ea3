"""A self-hosted service that tunes the training of neural networks.

What is exported here loads on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner._server_path import open_storage
    from tuner.client import Client, LeasedTrial, StudyHandle
    from tuner.decision import Action, Decision, Outcome
    from tuner.errors import TunerError
    from tuner.handle import TrialHandle

__all__ = [
    "Action",
    "Client",
    "Decision",
    "LeasedTrial",
    "Outcome",
    "StudyHandle",
    "TrialHandle",
    "TunerError",
    "open_storage",
]

_HOME = {
    "Action": "tuner.decision",
    "Client": "tuner.client",
    "Decision": "tuner.decision",
    "LeasedTrial": "tuner.client",
    "Outcome": "tuner.decision",
    "StudyHandle": "tuner.client",
    "TrialHandle": "tuner.handle",
    "TunerError": "tuner.errors",
    "open_storage": "tuner._server_path",
}


def __getattr__(name: str) -> Any:
    """Load an exported name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the exported names, loaded or not."""
    return sorted({*globals(), *__all__})
