"""Who may add files to a trial: the attempt that holds it, and for a while the one that ended it.

A decision to stop ends a trial before its code returns; what that code keeps at its end still
belongs to it.
"""

from __future__ import annotations

from datetime import timedelta

from api.fence import held_trial, last_held
from api.services import Services
from storage.artifacts import ended_with
from storage.transaction import Transaction
from tuner.access import Identity, Role
from tuner.decision import Outcome
from tuner.errors import NotAllowed, StaleAttempt
from tuner.trial import Trial, TrialState

LATE = timedelta(minutes=10)
"""How long after its end a trial's last attempt may add files."""


async def writable(services: Services, token: str, attempt: int, who: Identity) -> Trial:
    """Return the trial that a lease may add files to.

    Raises:
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease is void, and did not end the trial just now.
    """
    memory = services.ledger.memory
    try:
        return held_trial(memory, token, attempt, who)
    except StaleAttempt:
        trial = _ended(last_held(memory, token, attempt, who))
        if trial.ended_at is None or services.clock() - trial.ended_at > LATE:
            raise
    token_id = await ended_with(services.ledger, trial.trial_id, attempt, token)
    if token_id is None:
        raise StaleAttempt("the lease expired, was given back, or was never given")
    if token_id != (who.token_id or "") and who.role is not Role.ADMIN:
        raise NotAllowed("the lease was given to another token")
    return trial


def still_writable(tx: Transaction, token: str, attempt: int, who: Identity) -> Trial:
    """Return the trial as it is in a command, for a lease that `writable` took before.

    Raises:
        StaleAttempt: the trial has gone to another attempt, or back to the queue.
    """
    try:
        return held_trial(tx, token, attempt, who)
    except StaleAttempt:
        return _ended(last_held(tx, token, attempt, who))


def _ended(trial: Trial) -> Trial:
    if trial.state is not TrialState.ENDED or trial.outcome is Outcome.CANCELLED:
        raise StaleAttempt("the lease expired, was given back, or was never given")
    return trial
