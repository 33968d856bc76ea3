"""A study as one HTML file to send round: no script, no request, nothing beside it."""

from tuner.report.facts import AGAIN, Facts, Follower
from tuner.report.followed import result
from tuner.report.page import page

__all__ = ["AGAIN", "Facts", "Follower", "page", "result"]
