"""Lists of a study's trials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from api.listing import Order, cut
from api.views import trial_view
from storage.memory import Reader
from tuner.decision import Outcome
from tuner.study import Study
from tuner.trial import Origin, Trial, TrialState
from tuner.wire import TrialPage

Sort = Literal["number", "-number", "value", "-value", "duration", "-duration"]


class Wanted(NamedTuple):
    """Which trials to list, and in which order: `value` is best first, `-` turns it round.

    Trials without what is sorted by come last. With bounds only those with a value are listed.
    """

    state: TrialState | None = None
    outcome: Outcome | None = None
    origin: Origin | None = None
    min_value: float | None = None
    max_value: float | None = None
    sort: Sort = "number"
    tag: str | None = None

    def holds(self, trial: Trial) -> bool:
        """Tell whether a trial is to be listed."""
        return (
            (self.state is None or trial.state is self.state)
            and (self.outcome is None or trial.outcome is self.outcome)
            and (self.origin is None or trial.origin is self.origin)
            and self._in_range(trial.value)
        )

    def _in_range(self, value: float | None) -> bool:
        if self.min_value is None and self.max_value is None:
            return True
        if value is None:
            return False
        above = self.min_value is None or value >= self.min_value
        return above and (self.max_value is None or value <= self.max_value)


def page(
    reader: Reader, study: Study, wanted: Wanted, *, limit: int, cursor: str | None
) -> TrialPage:
    """Show a page of trials.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    found = filter(wanted.holds, _tagged(reader, study, wanted.tag))
    scope = ("trials", study.study_id, *wanted)
    order = _order(wanted.sort, 1.0 if study.spec.objective.mode == "min" else -1.0)
    items, more = cut(found, order, scope, limit=limit, cursor=cursor)
    views = [trial_view(t, reader.remark(t.study_id, t.number)) for t in items]
    return TrialPage(items=views, next_cursor=more)


def _tagged(reader: Reader, study: Study, tag: str | None) -> Iterable[Trial]:
    trials = reader.trials(study.study_id)
    if tag is None:
        return trials
    return (t for t in trials if tag in reader.remark(study.study_id, t.number).tags)


def _order(sort: Sort, sign: float) -> Order[Trial]:
    name, reverse = sort.removeprefix("-"), sort.startswith("-")
    if name == "value":
        return Order(
            value=lambda t: None if t.value is None else sign * t.value,
            ident=lambda t: t.number,
            reverse=reverse,
        )
    if name == "duration":
        return Order(value=_seconds, ident=lambda t: t.number, reverse=reverse)
    return Order(value=lambda t: t.number, ident=lambda t: t.number, reverse=reverse)


def _seconds(trial: Trial) -> float | None:
    if trial.started_at is None or trial.ended_at is None:
        return None
    return (trial.ended_at - trial.started_at).total_seconds()
