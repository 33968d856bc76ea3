"""Trials that plain Optuna ran: from messages to values, checked against their study."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import isfinite, isnan
from typing import NamedTuple

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import TrialState as OptunaState

from api.lifecycle import VALUED
from storage.adopted import AdoptedParam, OptunaRecord
from tuner.decision import Outcome
from tuner.errors import Fault, InvalidInput
from tuner.handle import ParamValue
from tuner.policies.pruning import bracket_of, rung_step
from tuner.spec import AshaPruner, HyperbandPruner
from tuner.study import Study
from tuner.trial import Origin, Report, RungMark, Trial, TrialState, objective_value
from tuner.wire import AdoptedTrial, AdoptTrials

_MOST_FAULTS = 20
_OUTCOMES = {
    "complete": Outcome.COMPLETE,
    "pruned": Outcome.PRUNED,
    "fail": Outcome.FAILED,
    "running": Outcome.CANCELLED,
}
_STATES = {
    "complete": OptunaState.COMPLETE,
    "pruned": OptunaState.PRUNED,
    "fail": OptunaState.FAIL,
    "running": OptunaState.FAIL,
}
_REASONS = {
    "pruned": "pruned before the study was adopted",
    "fail": "failed before the study was adopted",
    "running": "had not ended when the study was adopted",
}


class Domain(NamedTuple):
    """A distribution of Optuna's, and its JSON."""

    distribution: BaseDistribution
    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A trial that ran elsewhere, without id, and what Optuna's tables say of it."""

    trial: Trial
    record: OptunaRecord


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A trial to run."""

    params: dict[str, ParamValue]


def prepare(study: Study, batch: AdoptTrials, now: datetime) -> list[Ended | Waiting]:
    """Check a batch of trials against their study and turn them into values. May take a while.

    Raises:
        InvalidInput: with the first faults.
    """
    domains = [_domain(i, text) for i, text in enumerate(batch.distributions)]
    found = [
        Fault(where=f"trials.{i}.{fault.where}", message=fault.message)
        for i, trial in enumerate(batch.trials)
        for fault in islice(_faults(study, trial, domains), _MOST_FAULTS)
    ][:_MOST_FAULTS]
    if found:
        raise InvalidInput(f"{found[0].where}: {found[0].message}", found)
    return [
        Waiting(params=study.space.nearest(trial.params))
        if trial.state == "waiting"
        else _ended(study, batch.first + i, trial, domains, now)
        for i, trial in enumerate(batch.trials)
    ]


def _domain(i: int, text: str) -> Domain:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = json_to_distribution(text)
            known = type(found) in (FloatDistribution, IntDistribution, CategoricalDistribution)
            again = distribution_to_json(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        message = "is not a distribution in Optuna's JSON"
        raise InvalidInput(
            f"distributions.{i}: {message}", [Fault(where=f"distributions.{i}", message=message)]
        ) from exc
    if not known:
        raise InvalidInput(f"distributions.{i}: Optuna no longer has this kind of distribution")
    return Domain(found, again)


def _faults(study: Study, trial: AdoptedTrial, domains: Sequence[Domain]) -> Iterator[Fault]:
    for name, value in trial.params.items():
        where = f"params.{name}"
        parameter = study.space.parameters.get(name)
        if parameter is None:
            yield Fault(where=where, message="is not a parameter of this study")
        elif trial.state == "waiting":
            continue
        elif trial.distributions[name] >= len(domains):
            yield Fault(where=where, message="names a distribution that the request does not have")
        elif (fault := _misfit(domains[trial.distributions[name]].distribution, value)) is not None:
            yield Fault(where=where, message=fault)
        elif not parameter.contains(value):
            yield Fault(where=where, message=f"{value!r} lies outside the study's range")


def _misfit(distribution: BaseDistribution, value: ParamValue) -> str | None:
    try:
        if isfinite(distribution.to_internal_repr(value)):
            return None
    except (ValueError, TypeError, OverflowError):
        pass
    return f"{value!r} is no value of its distribution"


def _ended(
    study: Study, number: int, given: AdoptedTrial, domains: Sequence[Domain], now: datetime
) -> Ended:
    record = _record(given, domains, now)
    reports = tuple(
        Report(step, float(value), 1.0)
        for step, value in zip(given.steps, given.values, strict=True)
    )
    outcome, reason = _OUTCOMES[given.state], _REASONS.get(given.state, "")
    value = record.value if record.value is not None and isfinite(record.value) else None
    if outcome is Outcome.COMPLETE and value is None:
        outcome, reason = Outcome.DIVERGED, f"its value was {record.value}"
    if outcome is Outcome.PRUNED and value is None:
        objective = study.spec.objective
        value = objective_value(reports, objective.mode, objective.value)
    trial = Trial(
        trial_id=0,
        study_id=study.study_id,
        number=number,
        params={
            name: domains[given.distributions[name]].distribution.to_external_repr(param.internal)
            for name, param in record.params.items()
        },
        seed=study.trial_seed(number),
        origin=Origin.ADOPTED,
        created_at=given.started_at or record.ended_at or now,
        state=TrialState.ENDED,
        outcome=outcome,
        value=value if outcome in VALUED else None,
        reason=reason,
        reports=reports,
        marks=_marks(study, number, reports),
        started_at=given.started_at,
        ended_at=record.ended_at,
    )
    return Ended(trial=trial, record=record)


def _record(given: AdoptedTrial, domains: Sequence[Domain], now: datetime) -> OptunaRecord:
    params = {}
    for name, value in given.params.items():
        distribution, text = domains[given.distributions[name]]
        params[name] = AdoptedParam(float(distribution.to_internal_repr(value)), text)
    valued = given.state in ("complete", "pruned") and given.value is not None
    return OptunaRecord(
        state=_STATES[given.state],
        value=float(given.value) if valued and given.value is not None else None,
        params=params,
        user_attrs={k: v for k, v in given.user_attrs.items() if not k.startswith("tuner:")},
        started_at=given.started_at,
        ended_at=given.ended_at or now,
    )


def _marks(study: Study, number: int, reports: Sequence[Report]) -> tuple[RungMark, ...]:
    """Return the rungs that a trial passed, so that those after it compete with it."""
    pruner = study.spec.pruner
    if not isinstance(pruner, AshaPruner | HyperbandPruner):
        return ()
    bracket = 0
    if isinstance(pruner, HyperbandPruner):
        bracket = bracket_of(pruner, study.name, number)
    marks: list[RungMark] = []
    for report in reports:
        while not isnan(report.value):
            at = rung_step(pruner, bracket, len(marks))
            if at is None or report.step < at:
                break
            marks.append(RungMark(bracket, len(marks), report.step, report.value))
    return tuple(marks)
