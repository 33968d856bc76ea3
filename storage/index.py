"""Indexes over a study's trials, so that questions of pruning and of the queue cost no scan."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from tuner.decision import Outcome
from tuner.trial import Origin, Trial, TrialState

Key = tuple[int, ...]
Values = Mapping[int, float]
Changed = Mapping[int, float | None]

COMPLETE: Key = ()
"""Key under which each complete or converged trial is listed once."""


class Listing(IntEnum):
    """Lists of a study's trials that the queue asks for."""

    WAITING = 0
    RUNNING = 1
    FAILED = 2
    FINALIST = 3
    CONTROL = 4


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
    """Return under which keys, with which values, a trial is listed in its study's index.

    A control of halving is no peer: pruning sees nothing of it.
    """
    if trial is None:
        return {}
    found = {listing_key(listing): 0.0 for listing in _listings(trial)}
    if trial.origin is Origin.CONTROL:
        return found
    found.update((rung_key(m.bracket, m.rung), m.value) for m in trial.marks)
    if trial.outcome in (Outcome.COMPLETE, Outcome.CONVERGED):
        found[COMPLETE] = 0.0
        found.update((step_key(r.step), r.value) for r in trial.reports if math.isfinite(r.value))
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
    if trial.origin is Origin.CONTROL:
        yield Listing.CONTROL


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


@dataclass(slots=True)
class Column:
    """The trials listed under one key.

    Guarantees: a change costs at most one move of the ordered values in memory, and nothing before
    they were asked for.
    """

    values: dict[int, float] = field(default_factory=dict)
    """Value by number of trial. Read only."""
    _ordered: list[float] | None = field(default=None, compare=False, repr=False)

    def put(self, number: int, value: float | None) -> None:
        """List a trial with a value, or with None take it off."""
        old = self.values.pop(number, None)
        if value is not None:
            self.values[number] = value
        if self._ordered is not None:
            _replace(self._ordered, old, value)

    def ordered(self) -> list[float]:
        """Return the values in ascending order. Read only."""
        if self._ordered is None:
            self._ordered = sorted(self.values.values())
        return self._ordered

    def ordered_with(self, changed: Changed) -> list[float]:
        """Return what `ordered` would be after the changes."""
        found = self.ordered().copy()
        for number, value in changed.items():
            _replace(found, self.values.get(number), value)
        return found

    def count_with(self, changed: Changed) -> int:
        """Return how many trials would be listed after the changes."""
        grown = sum((v is not None) - (n in self.values) for n, v in changed.items())
        return len(self.values) + grown


Index = dict[Key, Column]
"""A study's columns; none is empty."""
EMPTY = Column()


def _replace(ordered: list[float], old: float | None, new: float | None) -> None:
    if old is not None:
        del ordered[bisect_left(ordered, old)]
    if new is not None:
        insort(ordered, new)


def put(index: Index, number: int, changed: Mapping[Key, float | None]) -> None:
    """Bring a trial's changed entries into an index."""
    for key, value in changed.items():
        column = index.get(key) or index.setdefault(key, Column())
        column.put(number, value)
        if not column.values:
            del index[key]


def build_index(trials: Iterable[Trial]) -> Index:
    """Return the index of a study's trials from nothing."""
    index: Index = {}
    for trial in trials:
        for key, value in entries(trial).items():
            column = index.get(key) or index.setdefault(key, Column())
            column.values[trial.number] = value
    return index


class Columns(Protocol):
    """Where an index is looked up: committed, or with a batch's changes."""

    def ordered(self, study_id: int, key: Key) -> Sequence[float]:
        """Return the values listed under a key, ascending."""

    def count(self, study_id: int, key: Key) -> int:
        """Return the number of trials listed under a key."""


class IndexPeers:
    """`tuner.policies.base.Peers` answered from an index."""

    def __init__(self, columns: Columns, study_id: int) -> None:
        self._columns = columns
        self._study_id = study_id

    def at_rung(self, bracket: int, rung: int) -> Sequence[float]:
        """Return the values with which trials were marked at a rung, ascending."""
        return self._columns.ordered(self._study_id, rung_key(bracket, rung))

    def complete_at(self, step: int) -> Sequence[float]:
        """Return the finite values that complete and converged trials reported, ascending."""
        return self._columns.ordered(self._study_id, step_key(step))

    def complete_count(self) -> int:
        """Return the number of complete and converged trials."""
        return self._columns.count(self._study_id, COMPLETE)
