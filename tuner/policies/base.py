"""What a policy is: a pure rule that turns a history into a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tuner.decision import Decision, Outcome
from tuner.trial import EventKind, Report, RungMark

Data = Mapping[str, float | int | str | bool | None]


class Peers(Protocol):
    """The other trials of a study, as far as pruning asks for them.

    Guarantees: only committed and same-batch earlier reports are seen; the judged trial's own
    earlier marks are included in `at_rung`; values come in ascending order.
    """

    def at_rung(self, bracket: int, rung: int) -> Sequence[float]:
        """Return the values with which trials were marked at a rung."""

    def complete_at(self, step: int) -> Sequence[float]:
        """Return the finite values that complete and converged trials reported at `step`."""

    def complete_count(self) -> int:
        """Return the number of trials with outcome complete or converged."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A decision as data: what a policy found, to be stored as an event.

    `data` always holds rule, reason and step, and no number that is not finite (None stands for
    it). For a rung also bracket, rung, rung_step, value, cutoff, rank, n, promoted (a rule without
    rungs leaves out the first three); for a halving old_rate, new_rate, old_factor, new_factor,
    value, best, bad, patience; for another change of the rate the factors and what led to it.
    """

    kind: EventKind
    data: Data = field(default_factory=dict)


class Folded(NamedTuple):
    """A fold done: over which reports, with what else given, and the state that came out."""

    reports: Sequence[Report]
    given: object
    state: object


Memo = Mapping[str, Folded]
"""What policies keep of a lineage, by their names, to not read it all again at the next report."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One policy's answer. `lr_factor` is that policy's level; `stop` ends the trial.

    `grounds` is the data behind a stop, written like a record's; empty without one. `cuts` are the
    steps of all changes of the rate in the lineage after which the objective may get worse for a
    while. `memo` is for the next call.
    """

    stop: Outcome | None = None
    reason: str = ""
    lr_factor: float = 1.0
    marks: tuple[RungMark, ...] = ()
    records: tuple[Record, ...] = ()
    grounds: Data = field(default_factory=dict)
    cuts: tuple[int, ...] = ()
    memo: Memo = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What `steer.judge` makes of all verdicts: the decision, and what to store beside it.

    `marks` are added to the trial's, `memo` is kept there. `records` become events of their own.
    `grounds` belongs into the data of the event that tells of the trial's end.
    """

    decision: Decision
    marks: tuple[RungMark, ...] = ()
    records: tuple[Record, ...] = ()
    grounds: Data = field(default_factory=dict)
    memo: Memo = field(default_factory=dict, compare=False, repr=False)


def storable(value: float) -> float | None:
    """Return a number as event data may hold it: None if it is not finite."""
    return value if math.isfinite(value) else None
