"""What a report tells, as it was read from the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from tuner.trial import Origin
from tuner.wire import EnvironmentView, EventView, StudyView, TrialDetail, TrialView

AGAIN = (Origin.FINALIST, Origin.CONTROL)
"""Trials that run a configuration of the search again."""


class Follower(NamedTuple):
    """A study that follows the one reported, with its trial's last metrics, if it has any."""

    view: StudyView
    metrics: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a report tells of a study.

    Args:
        trials: all, without their curves, in order of their numbers.
        shown: the best ones with their curves and events, best first.
        decisions: how many events there are by kind and rule.
        findings: what diagnostics said, oldest first.
        importance: parameters with their shares, in [0, 1]; None if the server has none, and
            `unimportant` then says why.
        environment: what the best trial's last attempt ran on and with.
        replay: the study document that trains the best trial again.
        version: this program's.
    """

    view: StudyView
    trials: Sequence[TrialView]
    shown: Sequence[TrialDetail]
    decisions: Mapping[tuple[str, str], int]
    findings: Sequence[EventView]
    importance: Sequence[tuple[str, float]] | None
    unimportant: str
    environment: EnvironmentView | None
    replay: str
    followers: Sequence[Follower]
    made_at: datetime
    url: str
    version: str

    @property
    def metric(self) -> str:
        """The objective's name."""
        return str(self.view.spec.get("objective", {}).get("metric", "value"))

    @cached_property
    def sign(self) -> float:
        """1 if smaller values are better, else -1."""
        return -1.0 if self.view.spec.get("objective", {}).get("mode") == "max" else 1.0
