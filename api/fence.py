"""The fence: lease tokens, and which trial a token still holds or held last.

A token is random, and names the attempt it was given for. The name lets a request that comes
after the lease is void be answered by where its trial stands; it gives no right, for which the
whole token must be the one that holds the trial.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from storage.memory import Reader
from tuner.access import Identity, Role
from tuner.errors import NotAllowed, NotFound, StaleAttempt
from tuner.trial import Lease, Trial

_FORM = re.compile(r"l([0-9]{1,18})-([0-9]{1,10})-([0-9]{1,10})-[A-Za-z0-9_-]{20,40}")


class Place(NamedTuple):
    """An attempt: its study, its trial's number, and its own."""

    study_id: int
    number: int
    attempt: int


def new_token(study_id: int, number: int, attempt: int) -> str:
    """Return a token nobody can guess."""
    return f"l{study_id}-{number}-{attempt}-{secrets.token_urlsafe(18)}"


def place_of(token: str) -> Place | None:
    """Return the attempt a token names, None if it is none of ours."""
    found = _FORM.fullmatch(token)
    return None if found is None else Place(*map(int, found.groups()))


def lease_of(reader: Reader, token: str, who: Identity) -> Lease:
    """Return a lease that holds its trial, for whom it was given to, or for an admin.

    Raises:
        NotAllowed: it was given to another access token.
        StaleAttempt: the lease is void.
    """
    lease = reader.lease(token)
    if lease.token_id != who.token_id and who.role is not Role.ADMIN:
        raise NotAllowed("the lease was given to another token")
    return lease


def others_lease(reader: Reader, token: str, who: Identity) -> Lease | None:
    """Return a lease that holds its trial if it was given to another access token, else None."""
    try:
        lease = reader.lease(token)
    except StaleAttempt:
        return None
    return lease if lease.token_id != who.token_id else None


def held_trial(reader: Reader, token: str, attempt: int, who: Identity) -> Trial:
    """Return the trial a lease holds.

    Raises:
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease is void, or another attempt's.
    """
    lease = lease_of(reader, token, who)
    if lease.attempt != attempt:
        raise StaleAttempt(f"the lease belongs to attempt {lease.attempt}, not {attempt}")
    return reader.trial(lease.study_id, lease.number)


def last_held(reader: Reader, token: str, attempt: int, who: Identity) -> Trial:
    """Return the trial whose last attempt had this lease, now void.

    Whoever has the access token it was given to could as well have guessed the place; to others,
    but for an admin, there is no such trial.

    Raises:
        StaleAttempt: there is none, or another attempt came after it.
    """
    place = place_of(token)
    if place is not None and place.attempt == attempt:
        try:
            trial = reader.trial(place.study_id, place.number)
        except NotFound:
            pass
        else:
            own = trial.held_by == who.token_id or who.role is Role.ADMIN
            if own and trial.attempt == attempt and trial.lease is None:
                return trial
    raise StaleAttempt("the lease expired, was given back, or was never given")
