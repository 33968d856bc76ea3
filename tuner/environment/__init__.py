"""What a trial runs on and with: code, packages, machine. Collected, compared, put back.

Nothing here is loaded before it is needed, and torch never is.
"""

from tuner.environment.differences import Difference, Weight, differences, verdict
from tuner.environment.machine import variables_again
from tuner.environment.program import What
from tuner.environment.record import Parts, Recorder, digest_of

__all__ = [
    "Difference",
    "Parts",
    "Recorder",
    "Weight",
    "What",
    "differences",
    "digest_of",
    "variables_again",
    "verdict",
]
