"""HTTP in, values out: studies and trials on a tuner server."""

from tuner.client.client import Client
from tuner.client.study import StudyHandle
from tuner.client.trial import LeasedTrial

__all__ = ["Client", "LeasedTrial", "StudyHandle"]
