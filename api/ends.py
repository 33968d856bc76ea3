"""How a leased trial ends or goes back: finish and release, each the same when sent again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import lifecycle
from api.fence import held_trial, last_held
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.decision import Outcome
from tuner.errors import InvalidInput, StaleAttempt, TrialEnded
from tuner.study import Study
from tuner.text import headline
from tuner.trial import AttemptEnd, Trial, TrialState, objective_value
from tuner.wire import FinishTrial, ReleaseTrial, TrialAfter

SAID = "the trial said so"
"""How the reason begins of an end that the trial told itself."""
_DECIDED = frozenset(
    {Outcome.PRUNED, Outcome.CONVERGED, Outcome.DIVERGED, Outcome.CANCELLED, Outcome.COMPLETE}
)


def finish(
    tx: Transaction, token: str, body: FinishTrial, who: Identity, now: datetime
) -> TrialAfter:
    """End a trial, or put a failed one back into the queue.

    Raises:
        InvalidInput: complete, and no value was given or reported.
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease is void.
        TrialEnded: it ended with another outcome.
    """
    try:
        trial = held_trial(tx, token, body.attempt, who)
    except StaleAttempt:
        return _finished_before(last_held(tx, token, body.attempt, who), body)
    study = tx.study(trial.study_id)
    outcome = Outcome(body.outcome)
    if outcome is Outcome.FAILED:
        return _after(_fail(tx, study, trial, body, now))
    value, reason = None, f"{SAID}: {headline(body.error)}" if body.error else SAID
    if outcome is Outcome.COMPLETE:
        value, reason = _final_value(study, trial, body), ""
    data = _told(body)
    ended = lifecycle.end_trial(
        tx, study, trial, outcome, now, reason=reason, value=value, data=data
    )
    return _after(ended)


def _told(body: FinishTrial) -> dict[str, Any]:
    """Return what the event of the end keeps of what the worker told."""
    failed = body.outcome == "failed"
    error = {"error": body.error} if body.error or failed else {}
    return error if body.host_memory is None else {**error, "host_memory": body.host_memory}


def _final_value(study: Study, trial: Trial, body: FinishTrial) -> float:
    objective = study.spec.objective
    value = body.value
    if value is None:
        value = objective_value(trial.reports, objective.mode, objective.value)
    if value is None:
        raise InvalidInput("the trial has no value: none was reported, and the finish gives none")
    return value


def _fail(tx: Transaction, study: Study, trial: Trial, body: FinishTrial, now: datetime) -> Trial:
    reason = headline(body.error) or SAID
    data = _told(body)
    failures = trial.failures + 1
    if body.retry and failures <= study.spec.retry.max:
        if trial.lease is not None:
            trial = trial.evolve(failed_on=trial.lease.worker_id)
        return lifecycle.requeue(tx, trial, AttemptEnd.FAILED, now, reason=reason, data=data)
    if body.retry:
        reason = f"failed {failures} times, at last: {reason}" if failures > 1 else reason
    trial = trial.evolve(failures=failures)
    return lifecycle.end_trial(tx, study, trial, Outcome.FAILED, now, reason=reason, data=data)


def _finished_before(trial: Trial, body: FinishTrial) -> TrialAfter:
    """Answer a finish whose lease is void: the same again, or the end of a stop's walk."""
    outcome = Outcome(body.outcome)
    if trial.state is TrialState.WAITING and outcome is Outcome.FAILED and body.retry:
        return _after(trial)
    if trial.state is not TrialState.ENDED:
        raise StaleAttempt("the lease expired or was given back")
    by_server = trial.outcome in _DECIDED and not trial.reason.startswith(SAID)
    same = trial.outcome is outcome and body.value in (None, trial.value)
    if same or (by_server and trial.reason and outcome is Outcome.COMPLETE):
        return _after(trial)
    raise TrialEnded(f"the trial has ended as {trial.outcome}", outcome=trial.outcome)


def release(
    tx: Transaction, token: str, body: ReleaseTrial, who: Identity, now: datetime
) -> TrialAfter:
    """Put a trial back into the queue; it keeps its checkpoint, and nothing counts against it.

    Raises:
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease is void, and the trial does not wait.
    """
    try:
        trial = held_trial(tx, token, body.attempt, who)
    except StaleAttempt:
        return _after(last_held(tx, token, body.attempt, who))
    data = None
    if body.share is not None:
        trial = trial.evolve(share=max(body.share, trial.share or 0.0))
        data = {"share": trial.share}
    ended = AttemptEnd.RELEASED
    return _after(lifecycle.requeue(tx, trial, ended, now, reason=body.reason, data=data))


def _after(trial: Trial) -> TrialAfter:
    return TrialAfter(state=trial.state, outcome=trial.outcome)
