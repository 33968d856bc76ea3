"""The trials of a source as messages, cut so that each request stays small."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from storage.adopting.document import Plan
from storage.adopting.space import fixed_params
from tuner.errors import Fault, InvalidInput
from tuner.space import Space
from tuner.spec import check
from tuner.wire import AdoptedTrial, AdoptTrials
from tuner.wire.adoption import Number, State

_MOST_TRIALS = 500
_MOST_POINTS = 10_000
_MOST_BYTES = 600_000
_LARGEST_ATTRS = 200_000
_LONGEST_CURVE = 60_000
_MOST_FAULTS = 20
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "fail",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_UNTELLABLE = re.compile("[\0\ud800-\udfff]")


class _Cut(NamedTuple):
    trial: AdoptedTrial
    distributions: Mapping[str, str]


def batches(plan: Plan, now: datetime) -> list[AdoptTrials]:
    """Return a source's trials in order; the last message opens the study.

    Raises:
        InvalidInput: a trial does not fit the document, or can't be stored.
    """
    space = check(plan.document).build_space()
    faults = list(islice(_faults(plan, space), _MOST_FAULTS))
    if faults:
        raise InvalidInput(f"{faults[0].where}: {faults[0].message}", faults)
    found: list[AdoptTrials] = []
    batch: list[_Cut] = []
    points = size = first = 0
    for trial in plan.source.trials:
        cut = _cut(trial, plan.names, now)
        weight = len(cut.trial.model_dump_json())
        full = len(batch) == _MOST_TRIALS or points + len(cut.trial.steps) > _MOST_POINTS
        if batch and (full or size + weight > _MOST_BYTES):
            found.append(_message(first, batch, last=False))
            first, batch, points, size = first + len(batch), [], 0, 0
        batch.append(cut)
        points, size = points + len(cut.trial.steps), size + weight
    return [*found, _message(first, batch, last=True)]


def _message(first: int, batch: list[_Cut], *, last: bool) -> AdoptTrials:
    texts = dict.fromkeys(text for cut in batch for text in cut.distributions.values())
    places = {text: i for i, text in enumerate(texts)}
    trials = [
        cut.trial.model_copy(
            update={"distributions": {n: places[text] for n, text in cut.distributions.items()}}
        )
        for cut in batch
    ]
    return AdoptTrials(first=first, distributions=list(texts), trials=trials, last=last)


def _faults(plan: Plan, space: Space) -> Iterator[Fault]:
    for trial in plan.source.trials:
        where = f"trial {trial.number}"
        if len(trial.intermediate_values) > _LONGEST_CURVE:
            yield Fault(where=where, message=f"has more than {_LONGEST_CURVE} reports")
        if any(not 0 <= step < 2**31 for step in trial.intermediate_values):
            yield Fault(where=where, message="has a report at a step beyond 2**31")
        for name, value in trial.params.items():
            parameter = space.parameters.get(plan.names[name])
            if parameter is None or not parameter.contains(value):
                yield Fault(
                    where=where,
                    message=f"{plan.names[name]}={value!r} lies outside the document's space",
                )


def _cut(trial: FrozenTrial, names: Mapping[str, str], now: datetime) -> _Cut:
    state = _STATES[trial.state]
    waits = trial.state is TrialState.WAITING
    params, distributions = trial.params, trial.distributions
    if waits and (wish := {k: v for k, v in fixed_params(trial).items() if k in names}):
        params, distributions = wish, {}
    elif waits:
        state = "running"
    curve = sorted(trial.intermediate_values.items())
    adopted = AdoptedTrial.model_construct(
        state=state,
        value=number(trial.values[0]) if trial.values else None,
        params={names[k]: v for k, v in params.items()},
        steps=[step for step, _ in curve],
        values=[number(value) for _, value in curve],
        started_at=utc(trial.datetime_start),
        ended_at=_end(trial, now),
        user_attrs=_attrs(trial.user_attrs),
    )
    return _Cut(adopted, {names[k]: distribution_to_json(d) for k, d in distributions.items()})


def _end(trial: FrozenTrial, now: datetime) -> datetime | None:
    if not trial.state.is_finished():
        return None
    return utc(trial.datetime_complete or trial.datetime_start) or now


def utc(at: datetime | None) -> datetime | None:
    """Return a time of Optuna's Python API, which is local and has no zone."""
    return None if at is None else at.astimezone(UTC)


def number(value: float) -> Number:
    """Return a number as JSON carries it."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return float(value)


def _attrs(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _text(str(key))[:512]: tellable(value)
        for key, value in attributes.items()
        if len(repr(value)) <= _LARGEST_ATTRS
    }


def tellable(value: Any) -> Any:
    """Return an attribute as a request may hold it: no number that is not finite, no odd text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(str(k)): tellable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [tellable(v) for v in value]
    return value


def _text(text: str) -> str:
    return _UNTELLABLE.sub("\N{REPLACEMENT CHARACTER}", text)
