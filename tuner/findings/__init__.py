"""Findings: what a trial's reports say of its training's health, with advice. Pure."""

from __future__ import annotations

from tuner.findings.base import MOST, Course, Finding, Reported, Rule, short
from tuner.findings.fold import advance, judged, known
from tuner.findings.rules import RULES

__all__ = [
    "MOST",
    "RULES",
    "Course",
    "Finding",
    "Reported",
    "Rule",
    "advance",
    "judged",
    "known",
    "short",
]
