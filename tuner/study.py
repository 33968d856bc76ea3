"""A study as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from tuner.constraints import Constraint, parse
from tuner.space import Params, Space
from tuner.spec import StudySpec, watched
from tuner.trial import EndReason, StudyState, trial_seed


@dataclass(frozen=True, kw_only=True)
class Study:
    """One optimisation.

    `spec` is normalised: nothing that has a default is absent (see `tuner.defaults.normalise`).
    `stopping` means that no trial starts any more and the study finishes with the last running one.
    """

    study_id: int
    name: str
    spec: StudySpec
    created_at: datetime
    created_by: str = ""
    state: StudyState = StudyState.QUEUED
    stopping: EndReason | None = None
    ended_why: EndReason | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied."""
        return replace(self, **changes)

    @cached_property
    def space(self) -> Space:
        """The search space."""
        return self.spec.build_space()

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """The conditions between parameters."""
        return tuple(parse(text, self.space.parameters) for text in self.spec.constraints)

    @cached_property
    def watched(self) -> frozenset[str]:
        """The names of the metrics that its policies read beside the objective."""
        return watched(self.spec.policies or ())

    def allows(self, params: Params) -> bool:
        """Tell whether `params` meet all constraints."""
        return all(c.holds(params) for c in self.constraints)

    def trial_seed(self, number: int) -> int:
        """Return the seed of a trial's random streams, in [0, 2**31)."""
        fixed = self.spec.sampler.trial_seed
        return trial_seed(self.spec.sampler.seed, number) if fixed is None else fixed

    @property
    def is_over(self) -> bool:
        """Whether the study is finished or cancelled."""
        return self.state in (StudyState.FINISHED, StudyState.CANCELLED)
