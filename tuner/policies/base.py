"""What a policy is: a pure rule that turns a history into a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tuner.decision import Decision, Outcome
from tuner.trial import EventKind, RungMark


class Peers(Protocol):
    """The other trials of a study, as far as pruning asks for them.

    Guarantees: only committed and same-batch earlier reports are seen; the judged trial's own
    earlier marks are included in `at_rung`; the order of the values means nothing.
    """

    def at_rung(self, bracket: int, rung: int) -> Sequence[float]:
        """Return the values with which trials were marked at a rung."""

    def complete_at(self, step: int) -> Sequence[float]:
        """Return the values that trials with outcome complete or converged reported at `step`."""

    def complete_count(self) -> int:
        """Return the number of trials with outcome complete or converged."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A decision as data: what a policy found, to be stored as an event.

    `data` always holds `rule` and `reason`. For a rung also bracket, rung, value, cutoff, rank, n,
    promoted; for a halving old_rate, new_rate, old_factor, new_factor.
    """

    kind: EventKind
    data: Mapping[str, float | int | str | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One policy's answer. `lr_factor` is that policy's level; `stop` ends the trial."""

    stop: Outcome | None = None
    reason: str = ""
    lr_factor: float = 1.0
    marks: tuple[RungMark, ...] = ()
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What `steer.judge` makes of all verdicts: the decision, and what to store beside it."""

    decision: Decision
    marks: tuple[RungMark, ...] = ()
    records: tuple[Record, ...] = ()
