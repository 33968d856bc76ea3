"""A trial that plain Optuna ran, as its tables show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from optuna.trial import TrialState


class AdoptedParam(NamedTuple):
    """A parameter as Optuna stores it: its number, and the JSON of its own distribution."""

    internal: float
    distribution: str


@dataclass(frozen=True, kw_only=True)
class OptunaRecord:
    """What Optuna's tables keep of an adopted trial where our own words would say it differently.

    Its distributions may differ from the study's space, its value may be infinite.
    """

    state: TrialState
    value: float | None
    params: Mapping[str, AdoptedParam]
    user_attrs: Mapping[str, Any]
    started_at: datetime | None
    ended_at: datetime | None
