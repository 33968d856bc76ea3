"""What is recorded of a trial, as far as a repetition needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tuner.decision import Outcome
from tuner.errors import InvalidInput
from tuner.handle import ParamValue
from tuner.trial import INHERITED, EventKind
from tuner.wire import ReportView, StudyView, TrialDetail


class Reported(NamedTuple):
    """A report of the curve: the value, which may be non-finite, and the level in force."""

    step: int
    value: float
    lr_factor: float


class Origin(NamedTuple):
    """The checkpoint of another trial that a trial went on from, and the step it began at."""

    study_id: int
    name: str
    trial: int
    step: int
    begins: int


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A trial: what it was to train, its curve, and how it ended. `run` is the study's section."""

    study: str
    number: int
    params: Mapping[str, ParamValue]
    seed: int
    steps: int | None
    metric: str
    run: Any
    curve: tuple[Reported, ...]
    outcome: Outcome | None
    origin: Origin | None = None

    def named(self, field: str) -> list[str]:
        """Return the trials whose checkpoints a field of the recipe names, `STUDY/NUMBER`."""
        recipe = self.run.get("recipe") if isinstance(self.run, Mapping) else None
        found = (recipe or {}).get(field) or []
        return [found] if isinstance(found, str) else list(found)

    def require_program(self) -> None:
        """Raise InvalidInput if there is nothing that this machine could run."""
        if not isinstance(self.run, Mapping):
            raise InvalidInput(
                "the trial was trained in its owner's own loop: there is nothing to run here; "
                "--enqueue hands it to such a loop again"
            )

    @property
    def first_level(self) -> float:
        """The level in force before the first report."""
        return self.curve[0].lr_factor if self.curve else 1.0


def recorded(study: StudyView, trial: TrialDetail) -> Recorded:
    """Read a trial's record.

    Raises:
        InvalidInput: it has not begun, or it went on from another trial's checkpoint and the server
            does not say which.
    """
    origin = _origin(trial)
    if origin is None and any(report.attempt == INHERITED for report in trial.reports):
        raise InvalidInput(
            f"trial {trial.number} went on from another trial's checkpoint; its start is not known"
        )
    if trial.attempt == 0:
        raise InvalidInput(f"trial {trial.number} has not begun")
    spec = study.spec
    return Recorded(
        study=study.name,
        number=trial.number,
        params=dict(trial.params),
        seed=trial.seed,
        steps=spec.get("budget", {}).get("steps"),
        metric=spec["objective"]["metric"],
        run=spec["run"],
        curve=_lineage(trial),
        outcome=trial.outcome,
        origin=origin,
    )


def _origin(trial: TrialDetail) -> Origin | None:
    """Return what the event of its enqueueing says of where a trial's weights are from."""
    for event in trial.events:
        source = event.data.get("source") if event.kind is EventKind.ENQUEUED else None
        if isinstance(source, Mapping):
            step = int(source["step"])
            return Origin(
                study_id=int(source["study_id"]),
                name=f"trial {source['trial']} of {source['study']}",
                trial=int(source["trial"]),
                step=step,
                begins=step if source.get("steps") == "on" else 0,
            )
    return None


def _lineage(trial: TrialDetail) -> tuple[Reported, ...]:
    """Return the curve: each attempt's reports, after those up to where it resumed from."""
    resumed = {
        event.attempt: event.data.get("resumed_step") or 0
        for event in trial.events
        if event.kind is EventKind.LEASED
    }
    found: dict[int, Reported] = {}
    for attempt in sorted({report.attempt for report in trial.reports} - {INHERITED}):
        start = resumed.get(attempt, 0)
        found = {step: one for step, one in found.items() if step <= start}
        found |= _reports(trial.reports, attempt)
    return tuple(found[step] for step in sorted(found))


def _reports(reports: Sequence[ReportView], attempt: int) -> dict[int, Reported]:
    return {
        one.step: Reported(one.step, _value(one), one.lr_factor)
        for one in reports
        if one.attempt == attempt
    }


def _value(report: ReportView) -> float:
    if report.value is not None:
        return report.value
    return {"inf": math.inf, "-inf": -math.inf}.get(report.status, math.nan)
