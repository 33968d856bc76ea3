"""Studies: finding, showing, changing, extending. One transaction a call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from api import finalists, followups, lifecycle, queue, versions
from api.limits import quotas
from api.limits.settings import Limits
from api.services import Services
from api.views import elapsed_hours, study_view
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.errors import InvalidInput, NotFound
from tuner.errors import StudyState as WrongState
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import EndReason, Event, EventKind, StudyState, Worker
from tuner.wire import Extend, StudyPatch, StudyView

_MOST_TRIALS = 1_000_000


def find(reader: Reader, ref: str) -> Study:
    """Return the study of this id or name.

    Raises:
        NotFound: there is none.
    """
    if not _is_id(ref):
        return reader.study_named(ref)
    if len(ref) > 18:
        raise NotFound("no study has an id this large")
    return reader.study(int(ref))


def no_study(ref: str) -> NotFound:
    """Return what `find` raises where there is none, for a study that the caller may not see."""
    return NotFound(
        f"no study has the id {int(ref)}" if _is_id(ref) else f"no study is named {ref!r}"
    )


def _is_id(ref: str) -> bool:
    return ref.isascii() and ref.isdecimal()


def show(
    reader: Reader, services: Services, study: Study, warnings: Sequence[str] = ()
) -> StudyView:
    """Show a study as it stands."""
    alive = [w for w in reader.workers() if services.deadlines.is_alive(w)]
    note = why_idle(study, alive)
    trials, remark = reader.trials(study.study_id), reader.remark(study.study_id)
    return study_view(study, trials, remark, note=note, warnings=warnings)


def why_idle(study: Study, workers: Sequence[Worker]) -> str:
    """Say why none of a study's trials can start now; empty if they can."""
    if study.state is StudyState.PAUSED:
        return "paused"
    if study.is_over or study.spec.run == "external":
        return ""
    if study.stopping is not None:
        return "stopping: no further trial starts"
    return queue.why_not(study, workers) or ""


def patch(
    tx: Transaction,
    ref: str,
    change: StudyPatch,
    now: datetime,
    expected: frozenset[str] | None = None,
) -> Study:
    """Change a study's priority, parallel limit or state; see `versions.check` for `expected`.

    Raises:
        NotFound: there is no such study.
        PreconditionFailed: it was changed meanwhile.
        StudyState: the study is over, and this would change it.
    """
    study = find(tx, ref)
    versions.check(study, expected)
    if study.is_over:
        return _over(study, change)
    study = _retune(tx, study, change, now)
    if change.state == "paused":
        return _pause(tx, study, now)
    if change.state == "running":
        return _resume(tx, study, now)
    if change.state == "stopped":
        return _stop(tx, study, now)
    if change.state == "cancelled":
        return lifecycle.cancel_study(tx, study, now)
    return study


def _over(study: Study, change: StudyPatch) -> Study:
    asked = change.state
    same = (asked == "cancelled" and study.state is StudyState.CANCELLED) or (
        asked == "stopped" and study.state is StudyState.FINISHED
    )
    if same and {change.priority, change.parallel} == {None} and change.space is None:
        return study
    raise WrongState(f"study {study.name!r} is {study.state}", state=study.state.value)


def _retune(tx: Transaction, study: Study, change: StudyPatch, now: datetime) -> Study:
    spec, data = study.spec, {}
    if change.priority is not None:
        queued = spec.queue.model_copy(update={"priority": change.priority})
        spec = spec.model_copy(update={"queue": queued})
        data["queue.priority"] = change.priority
    if change.parallel is not None:
        budget = spec.budget.model_copy(update={"parallel": change.parallel})
        spec = spec.model_copy(update={"budget": budget})
        data["budget.parallel"] = change.parallel
    if spec == study.spec:
        return study
    return _store(tx, study.evolve(spec=spec), EventKind.CHANGED, now, **data)


def _pause(tx: Transaction, study: Study, now: datetime) -> Study:
    if study.state is StudyState.PAUSED:
        return study
    return _store(tx, study.evolve(state=StudyState.PAUSED), EventKind.PAUSED, now)


def _resume(tx: Transaction, study: Study, now: datetime) -> Study:
    if study.state is not StudyState.PAUSED:
        return study
    state = StudyState.QUEUED if study.started_at is None else StudyState.RUNNING
    return _store(tx, study.evolve(state=state), EventKind.RESUMED, now)


def _stop(tx: Transaction, study: Study, now: datetime) -> Study:
    if study.stopping is None:
        lifecycle.stop(tx, study, EndReason.STOPPED, "stopped by a user", now)
    return lifecycle.settle(tx, study.study_id, now)


def extend(
    tx: Transaction,
    ref: str,
    more: Extend,
    now: datetime,
    expected: frozenset[str] | None = None,
    *,
    limits: Limits,
) -> Study:
    """Add to a study's budget; one that finished, or is stopping, goes on.

    One that a person stopped gets `more.trials` beyond those it tried: the rest was given up. With
    `repeats` or `after` alone, one that is over searches no further.

    Raises:
        InvalidInput: nothing is added, or more than a study may have.
        NotFound: there is no such study.
        PreconditionFailed: it was changed meanwhile.
        QuotaReached: it is over, and its project has as many as it may that are not.
        StudyState: it was cancelled or ended by failures, or its hours are used up.
    """
    study = find(tx, ref)
    versions.check(study, expected)
    if not (more.trials or more.hours or more.repeats or more.after):
        raise InvalidInput("give the trials or the hours to add, or repeats or after")
    if study.state is StudyState.CANCELLED or EndReason.FAILURES in (
        study.ended_why,
        study.stopping,
    ):
        raise WrongState("a study that was cancelled or that failed can't go on; clone it")
    only_wishes = (more.repeats or more.after) and not more.trials
    if study.is_over and only_wishes and not finalists.distinct(study, tx.trials(study.study_id)):
        raise WrongState("no trial of it trained to its end: there is nothing to run again")
    spec = _larger(study, more, lifecycle.tally(tx, study.study_id).searched, now)
    changes: dict[str, object] = {"spec": spec, "stopping": None}
    if study.state is StudyState.FINISHED:
        quotas.check_queued(tx, limits, study.spec.queue.project)
        state = StudyState.QUEUED if study.started_at is None else StudyState.RUNNING
        changes |= {"state": state, "ended_why": None, "ended_at": None}
    data = {"trials": spec.budget.trials, "hours": spec.budget.hours}
    extended = _store(tx, study.evolve(**changes), EventKind.EXTENDED, now, **data)
    return lifecycle.settle(tx, study.study_id, now) if more.repeats or more.after else extended


def _larger(study: Study, more: Extend, tried: int, now: datetime) -> StudySpec:
    budget = study.spec.budget
    given_up = EndReason.STOPPED in (study.ended_why, study.stopping)
    trials = more.trials + (min(tried, budget.trials) if given_up else budget.trials)
    if trials > _MOST_TRIALS:
        raise InvalidInput(f"a study has at most {_MOST_TRIALS} trials")
    hours = budget.hours
    if hours is not None:
        spent = elapsed_hours(study, now)
        if spent >= hours and more.hours == 0:
            raise WrongState("the study's hours are used up: give hours, too")
        hours = max(hours, spent) + more.hours if study.is_over else hours + more.hours
    if study.is_over and not more.trials and (more.repeats or more.after):
        trials = max(1, min(tried, budget.trials))
    larger = budget.model_copy(update={"trials": trials, "hours": hours})
    return followups.with_wishes(study.spec.model_copy(update={"budget": larger}), more)


def _store(
    tx: Transaction, study: Study, kind: EventKind, now: datetime, **data: float | str | None
) -> Study:
    tx.put_study(study)
    tx.add_event(Event(study_id=study.study_id, kind=kind, at=now, data=data))
    return study
