"""Lists of a study's trials."""

from __future__ import annotations

from typing import Literal, NamedTuple

from api.studies import number_of
from api.views import trial_view
from storage.memory import Reader
from tuner.decision import Outcome
from tuner.study import Study
from tuner.trial import Trial, TrialState
from tuner.wire import TrialPage


class Wanted(NamedTuple):
    """Which trials to list, and in which order."""

    state: TrialState | None = None
    outcome: Outcome | None = None
    sort: Literal["number", "value"] = "number"


def page(
    reader: Reader, study: Study, wanted: Wanted, *, limit: int, cursor: str | None
) -> TrialPage:
    """Show a page of trials. The cursor counts the trials before the page.

    Raises:
        InvalidInput: the cursor is none of ours.
    """
    start = 0 if cursor is None else number_of(cursor)
    found = [
        t
        for t in reader.trials(study.study_id)
        if (wanted.state is None or t.state is wanted.state)
        and (wanted.outcome is None or t.outcome is wanted.outcome)
    ]
    if wanted.sort == "value":
        sign = 1.0 if study.spec.objective.mode == "min" else -1.0
        found.sort(key=lambda t: _rank(t, sign))
    more = str(start + limit) if start + limit < len(found) else None
    return TrialPage(items=[trial_view(t) for t in found[start : start + limit]], next_cursor=more)


def _rank(trial: Trial, sign: float) -> tuple[bool, float, int]:
    missing = trial.value is None
    return (missing, 0.0 if trial.value is None else sign * trial.value, trial.number)
