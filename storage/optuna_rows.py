"""Values to rows of Optuna's tables, and parameters back."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialValueModel
from optuna.study import StudyDirection
from optuna.trial import TrialState as OptunaState

from storage.changes import TrialChange
from storage.rows import Row, naive_or_none, to_json
from tuner.decision import Outcome
from tuner.handle import ParamValue
from tuner.space import Categorical, Numeric, Parameter
from tuner.study import Study
from tuner.trial import Trial, TrialState

_OPTUNA_STATE: Mapping[Outcome, OptunaState] = {
    Outcome.COMPLETE: OptunaState.COMPLETE,
    Outcome.CONVERGED: OptunaState.COMPLETE,
    Outcome.PRUNED: OptunaState.PRUNED,
    Outcome.DIVERGED: OptunaState.PRUNED,
    Outcome.OOM: OptunaState.FAIL,
    Outcome.FAILED: OptunaState.FAIL,
    Outcome.CANCELLED: OptunaState.FAIL,
}


def direction_row(study: Study) -> Row:
    """Return a row of `study_directions`."""
    minimise = study.spec.objective.mode == "min"
    direction = StudyDirection.MINIMIZE if minimise else StudyDirection.MAXIMIZE
    return {"study_id": study.study_id, "objective": 0, "direction": direction}


def spec_row(study: Study) -> Row:
    """Return the user attribute `tuner:spec`, by which a study is known as ours."""
    spec = study.spec.model_dump(mode="json", exclude_none=True)
    return {"study_id": study.study_id, "key": "tuner:spec", "value_json": to_json(spec)}


def metric_row(study: Study) -> Row:
    """Return the system attribute that names the objective in Optuna's plots."""
    names = [study.spec.objective.metric]
    return {"study_id": study.study_id, "key": "study:metric_names", "value_json": to_json(names)}


def user_attr_rows(attributes: Mapping[tuple[int, str], Any]) -> list[Row]:
    """Return the rows of studies' other user attributes, given by study and key."""
    return [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
        for (study_id, key), value in attributes.items()
    ]


def trial_row(change: TrialChange) -> Row:
    """Return a new trial's row of `trials`."""
    trial = change.new
    return {
        "trial_id": trial.trial_id,
        "study_id": trial.study_id,
        "number": trial.number,
        **shown(change),
    }


def shown(change: TrialChange) -> Row:
    """Return the columns of Optuna's row that change, as they are after a change."""
    record = change.record
    if record is None:
        return trial_changes(change.new)
    return {
        "state": record.state,
        "datetime_start": naive_or_none(record.started_at),
        "datetime_complete": naive_or_none(record.ended_at),
    }


def state(trial: Trial) -> OptunaState:
    """Return the state that Optuna's row shows."""
    if trial.state is TrialState.ENDED and trial.outcome is not None:
        return _OPTUNA_STATE[trial.outcome]
    return OptunaState.RUNNING if trial.state is TrialState.RUNNING else OptunaState.WAITING


def trial_changes(trial: Trial) -> Row:
    """Return the columns of Optuna's row that change. A trial that ends has started for Optuna."""
    started = trial.started_at or trial.ended_at
    return {
        "state": state(trial),
        "datetime_start": naive_or_none(started),
        "datetime_complete": naive_or_none(trial.ended_at),
    }


def value(trial: Trial) -> float | None:
    """Return the value of Optuna's row; a pruned trial's is its last finite report."""
    if trial.outcome in (Outcome.COMPLETE, Outcome.CONVERGED):
        return trial.value
    if trial.outcome is Outcome.PRUNED:
        finite = (r.value for r in reversed(trial.reports) if math.isfinite(r.value))
        return next(finite, None)
    return None


def shown_value(change: TrialChange) -> float | None:
    """Return the value of Optuna's row after a change."""
    return value(change.new) if change.record is None else change.record.value


def shown_attributes(change: TrialChange) -> dict[str, Any]:
    """Return the user attributes of Optuna's row after a change."""
    found = attributes(change.new, change.note)
    return found if change.record is None else {**change.record.user_attrs, **found}


def value_row(trial_id: int, value: float, objective: int = 0) -> Row:
    """Return a row of `trial_values`."""
    stored, kind = TrialValueModel.value_to_stored_repr(value)
    return {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}


def attributes(trial: Trial, note: str) -> dict[str, Any]:
    """Return what Optuna's readers see beside a trial: user attributes by key."""
    found: dict[str, Any] = {"tuner:origin": trial.origin.value, "tuner:seed": trial.seed}
    if note:
        found["tuner:note"] = note
    if trial.outcome is not None:
        found["tuner:outcome"] = trial.outcome.value
        if trial.reason:
            found["tuner:reason"] = trial.reason
    return found


def intermediate_row(trial_id: int, step: int, value: float) -> Row:
    """Return a row of `trial_intermediate_values`."""
    stored, kind = TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
    return {
        "trial_id": trial_id,
        "step": step,
        "intermediate_value": stored,
        "intermediate_value_type": kind,
    }


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return a parameter's domain in Optuna's terms."""
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(parameter.values)
    if parameter.integer:
        step = 1 if parameter.step is None else int(parameter.step)
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)


def param_rows(change: TrialChange) -> list[Row]:
    """Return a new trial's rows of `trial_params`."""
    return [
        {
            "trial_id": change.new.trial_id,
            "param_name": name,
            "param_value": internal,
            "distribution_json": distribution,
        }
        for name, internal, distribution in _params(change)
    ]


def _params(change: TrialChange) -> Iterable[tuple[str, float, str]]:
    if change.record is not None:
        return ((name, *param) for name, param in change.record.params.items())
    parameters = change.study.space.parameters
    return (
        (name, _internal(parameters[name], value), _distribution_json(parameters[name]))
        for name, value in change.new.params.items()
    )


def _distribution_json(parameter: Parameter) -> str:
    if isinstance(parameter, Categorical):
        return _values_json(parameter.values, tuple(map(type, parameter.values)))
    return _interval_json(
        parameter.integer, parameter.low, parameter.high, log=parameter.log, step=parameter.step
    )


@lru_cache(maxsize=4096)
def _values_json(values: tuple[ParamValue, ...], _types: tuple[type, ...]) -> str:
    return distribution_to_json(distribution(Categorical(values=values)))


@lru_cache(maxsize=4096)
def _interval_json(integer: bool, low: float, high: float, *, log: bool, step: float | None) -> str:
    parameter = Numeric(integer=integer, low=low, high=high, log=log, step=step)
    return distribution_to_json(distribution(parameter))


def _internal(parameter: Parameter, value: ParamValue) -> float:
    if isinstance(parameter, Categorical):
        same = (i for i, v in enumerate(parameter.values) if v == value and type(v) is type(value))
        return float(next(same))
    return float(value)


@lru_cache(maxsize=4096)
def read_distribution(text: str) -> BaseDistribution:
    """Return a stored distribution."""
    return json_to_distribution(text)


def read_param(text: str, stored: float) -> ParamValue:
    """Return a stored parameter with its own type."""
    value: ParamValue = read_distribution(text).to_external_repr(stored)
    return value
