"""Indexes over a study's trials, so that questions of pruning and of the queue cost no scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum

from tuner.decision import Outcome
from tuner.trial import Origin, Trial, TrialState

Key = tuple[int, ...]
Values = Mapping[int, float]
Lookup = Callable[[Key], Values]

COMPLETE: Key = ()
"""Key under which each complete or converged trial is listed once."""


class Listing(IntEnum):
    """Lists of a study's trials that the queue asks for."""

    WAITING = 0
    RUNNING = 1
    FAILED = 2
    FINALIST = 3


def listing_key(listing: Listing) -> Key:
    """Return the key of a list of trials."""
    return (listing, 0, 0)


def rung_key(bracket: int, rung: int) -> Key:
    """Return the key of the trials marked at a rung."""
    return (bracket, rung)


def step_key(step: int) -> Key:
    """Return the key of the complete trials that reported at a step."""
    return (step,)


def entries(trial: Trial | None) -> dict[Key, float]:
    """Return under which keys, with which values, a trial is listed in its study's index."""
    if trial is None:
        return {}
    found = {rung_key(m.bracket, m.rung): m.value for m in trial.marks}
    found.update((listing_key(listing), 0.0) for listing in _listings(trial))
    if trial.outcome in (Outcome.COMPLETE, Outcome.CONVERGED):
        found[COMPLETE] = 0.0
        found.update((step_key(r.step), r.value) for r in trial.reports)
    return found


def _listings(trial: Trial) -> Iterator[Listing]:
    if trial.state is TrialState.WAITING:
        yield Listing.WAITING
    if trial.state is TrialState.RUNNING:
        yield Listing.RUNNING
    if trial.outcome is Outcome.FAILED:
        yield Listing.FAILED
    if trial.origin is Origin.FINALIST:
        yield Listing.FINALIST


def changed_entries(old: Trial | None, new: Trial) -> dict[Key, float | None]:
    """Return what replacing `old` by `new` changes in the index; None takes the trial off a key."""
    if (
        old is not None
        and old.marks is new.marks
        and old.outcome is new.outcome
        and old.state is new.state
    ):
        return {}
    before, after = entries(old), entries(new)
    changes: dict[Key, float | None] = {key: None for key in before if key not in after}
    changes.update((k, v) for k, v in after.items() if k not in before or before[k] is not v)
    return changes


class IndexPeers:
    """`tuner.policies.base.Peers` answered from an index."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def at_rung(self, bracket: int, rung: int) -> Sequence[float]:
        """Return the values with which trials were marked at a rung."""
        return tuple(self._lookup(rung_key(bracket, rung)).values())

    def complete_at(self, step: int) -> Sequence[float]:
        """Return the values that complete and converged trials reported at `step`."""
        return tuple(self._lookup(step_key(step)).values())

    def complete_count(self) -> int:
        """Return the number of complete and converged trials."""
        return len(self._lookup(COMPLETE))
