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
    from tuner.train.local import LocalTrial
    from tuner.worker.current import current_trial

__all__ = [
    "Action",
    "Client",
    "Decision",
    "LeasedTrial",
    "LocalTrial",
    "Outcome",
    "StudyHandle",
    "TrialHandle",
    "TunerError",
    "current_trial",
    "open_storage",
]

_HOME = {
    "Action": "tuner.decision",
    "Client": "tuner.client",
    "Decision": "tuner.decision",
    "LeasedTrial": "tuner.client",
    "LocalTrial": "tuner.train.local",
    "Outcome": "tuner.decision",
    "StudyHandle": "tuner.client",
    "TrialHandle": "tuner.handle",
    "TunerError": "tuner.errors",
    "current_trial": "tuner.worker.current",
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
