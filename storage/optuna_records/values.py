"""Optuna's studies and trials as values. All times are aware and in UTC."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple, Self

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

Attributes = Mapping[str, Any]


class Suggested(NamedTuple):
    """A trial's parameter in Optuna's internal form, and the distribution it was drawn from."""

    internal: float
    distribution: BaseDistribution


@dataclass(frozen=True, kw_only=True)
class OptunaStudy:
    """A study as Optuna sees it. `ours` tells that the service made it and alone may run it."""

    study_id: int
    name: str
    directions: tuple[StudyDirection, ...]
    user_attrs: Attributes = field(default_factory=dict)
    system_attrs: Attributes = field(default_factory=dict)
    ours: bool = False

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied."""
        return replace(self, **changes)

    def view(self) -> FrozenStudy:
        """Return Optuna's own value, free to be changed."""
        return FrozenStudy(
            study_name=self.name,
            direction=None,
            directions=list(self.directions),
            user_attrs=copy.deepcopy(dict(self.user_attrs)),
            system_attrs=copy.deepcopy(dict(self.system_attrs)),
            study_id=self.study_id,
        )


@dataclass(frozen=True, kw_only=True)
class OptunaTrial:
    """A trial as Optuna sees it. `values` is empty before there are any."""

    trial_id: int
    study_id: int
    number: int
    state: TrialState
    values: tuple[float, ...] = ()
    params: Mapping[str, Suggested] = field(default_factory=dict)
    user_attrs: Attributes = field(default_factory=dict)
    system_attrs: Attributes = field(default_factory=dict)
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    started_at: datetime | None = None
    completed_at: datetime | None = None

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied."""
        return replace(self, **changes)

    @cached_property
    def shared(self) -> FrozenTrial:
        """Optuna's own value, made once and not to be changed."""
        return self.view()

    def view(self, *, deep: bool = False) -> FrozenTrial:
        """Return Optuna's own value, free to be changed; attributes' insides too if `deep`."""
        copied = copy.deepcopy if deep else copy.copy
        return FrozenTrial(
            number=self.number,
            state=self.state,
            value=None,
            values=list(self.values) or None,
            datetime_start=_local(self.started_at),
            datetime_complete=_local(self.completed_at),
            params={
                name: suggested.distribution.to_external_repr(suggested.internal)
                for name, suggested in self.params.items()
            },
            distributions={name: s.distribution for name, s in self.params.items()},
            user_attrs=copied(dict(self.user_attrs)),
            system_attrs=copied(dict(self.system_attrs)),
            intermediate_values=dict(self.intermediate_values),
            trial_id=self.trial_id,
        )


def from_template(template: FrozenTrial) -> OptunaTrial:
    """Return what a template says of a trial that has no place yet. Its number and ids are void."""
    return OptunaTrial(
        trial_id=0,
        study_id=0,
        number=0,
        state=template.state,
        values=tuple(float(v) for v in template.values or ()),
        params={
            name: Suggested(
                float(distribution.to_internal_repr(template.params[name])), distribution
            )
            for name, distribution in template.distributions.items()
        },
        user_attrs={key: as_stored(value) for key, value in template.user_attrs.items()},
        system_attrs={key: as_stored(value) for key, value in template.system_attrs.items()},
        intermediate_values={
            int(step): float(value) for step, value in template.intermediate_values.items()
        },
        started_at=_utc(template.datetime_start),
        completed_at=_utc(template.datetime_complete),
    )


def as_stored(value: Any) -> Any:
    """Return an attribute as it will be read back. Raises TypeError if it is not for JSON."""
    return json.loads(json.dumps(value))


def _local(at: datetime | None) -> datetime | None:
    """Optuna's Python API takes and gives local times without a zone."""
    return None if at is None else at.astimezone().replace(tzinfo=None)


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)
