"""Studies, trials and their peers as plain values, for the tests of the policies."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tuner.policies.base import Data, Judgement
from tuner.policies.pruning import Contest
from tuner.spec import check
from tuner.study import Study
from tuner.trial import Origin, Report, RungMark, Trial

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class History:
    """The peers of a study: what `tuner.policies.base.Peers` promises, kept in lists."""

    rungs: dict[tuple[int, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    complete: list[dict[int, float]] = field(default_factory=list)

    def at_rung(self, bracket: int, rung: int) -> Sequence[float]:
        return sorted(self.rungs[bracket, rung])

    def complete_at(self, step: int) -> Sequence[float]:
        values = (curve[step] for curve in self.complete if step in curve)
        return sorted(v for v in values if math.isfinite(v))

    def complete_count(self) -> int:
        return len(self.complete)

    def add(self, marks: Iterable[RungMark]) -> None:
        for mark in marks:
            self.rungs[mark.bracket, mark.rung].append(mark.value)


def curve(*values: float, level: float = 1.0, first: int = 1) -> tuple[Report, ...]:
    """Return reports of `values` at the steps from `first` on, all at one level."""
    return tuple(Report(first + i, v, level) for i, v in enumerate(values))


def contest(
    reports: Sequence[Report],
    peers: History,
    *,
    mode: str = "min",
    number: int = 0,
    marks: Sequence[RungMark] = (),
    cuts: Sequence[int] = (),
    spared: str = "",
    study_name: str = "s",
) -> Contest:
    return Contest(
        mode=mode,
        study_name=study_name,
        number=number,
        reports=reports,
        marks=marks,
        peers=peers,
        cuts=cuts,
        spared=spared,
    )


def study(
    *,
    pruner: dict[str, Any] | None = None,
    policies: Sequence[dict[str, Any]] = (),
    steps: int | None = 27,
    mode: str = "min",
    name: str = "s",
) -> Study:
    """Return a study that is not normalised beyond what is given here."""
    document = {
        "objective": {"metric": "loss", "mode": mode},
        "run": "external",
        "pruner": pruner or {"name": "none"},
        "policies": list(policies),
        "budget": {} if steps is None else {"steps": steps},
    }
    return Study(study_id=1, name=name, spec=check(document), created_at=NOW)


def trial(
    reports: Sequence[Report] = (),
    *,
    number: int = 0,
    origin: Origin = Origin.SAMPLED,
    **changes: Any,
) -> Trial:
    """Return a running trial whose rate starts at 0.1."""
    return Trial(
        trial_id=number,
        study_id=1,
        number=number,
        params={"lr": 0.1},
        seed=0,
        origin=origin,
        created_at=NOW,
        reports=tuple(reports),
    ).evolve(**changes)


def applied(before: Trial, judgement: Judgement) -> Trial:
    """Return the trial as the service stores it after a judgement."""
    level = judgement.decision.lr_factor
    return before.evolve(lr_factor=level, marks=before.marks + judgement.marks)


def is_storable(data: Data) -> bool:
    """Tell whether event data is JSON that every database takes, and says what it must."""
    json.dumps(dict(data), allow_nan=False)
    return {"rule", "reason", "step"} <= data.keys() and data["reason"] != ""
