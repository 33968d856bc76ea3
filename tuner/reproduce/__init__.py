"""Runs a recorded trial again on this machine, without a worker: the same code, step by step.

A child process runs the trial as a worker's would. What it reports is answered with the decisions
as they happened; the two curves are then compared.
"""

from tuner.reproduce.compare import Comparison, Point, compare
from tuner.reproduce.files import Files, fetch
from tuner.reproduce.recorded import Recorded, recorded
from tuner.reproduce.run import Outcome, run

__all__ = [
    "Comparison",
    "Files",
    "Outcome",
    "Point",
    "Recorded",
    "compare",
    "fetch",
    "recorded",
    "run",
]
