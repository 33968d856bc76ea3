"""All rules, in the order in which they speak."""

from __future__ import annotations

from tuner.findings import curves, depth, rates, stalls

RULES = (*stalls.RULES, *rates.RULES, *curves.RULES, *depth.RULES)
