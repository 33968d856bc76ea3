"""Taking over a study that plain Optuna ran: its document first, then its trials in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from api import lifecycle
from api.limits import quotas
from api.limits.settings import Limits
from api.optuna_trials import Ended, Waiting
from api.studies import find
from api.submit import Submission
from storage.transaction import Transaction
from tuner.errors import Conflict, DuplicateName, InvalidInput, NotFound
from tuner.errors import StudyState as WrongState
from tuner.study import Study
from tuner.trial import Event, EventKind, Origin, StudyState
from tuner.wire import Adopt, Adopted, AdoptTrials


def begin(
    tx: Transaction,
    submission: Submission,
    adopt: Adopt,
    user: str,
    now: datetime,
    *,
    limits: Limits,
) -> Adopted:
    """Create a paused study without trials; or return it, if it waits for them already.

    Raises:
        DuplicateName: the name is taken by another study.
        InvalidInput: the document gives no name.
        QuotaReached: its project has as many studies as it may that are not over.
    """
    spec = submission.spec
    if spec.name is None:
        raise InvalidInput("name: give the adopted study a name")
    try:
        known = tx.study_named(spec.name)
    except NotFound:
        quotas.check_queued(tx, limits, spec.queue.project)
        study = _create(tx, submission, adopt, user, now)
    else:
        if not _awaits(known) or known.spec != spec:
            raise DuplicateName(f"a study named {spec.name!r} exists", study_id=known.study_id)
        study = known
    return _view(tx, study).model_copy(update={"warnings": list(submission.warnings)})


def _create(
    tx: Transaction, submission: Submission, adopt: Adopt, user: str, now: datetime
) -> Study:
    spec = submission.spec
    study = tx.new_study(str(spec.name), spec, user, now).evolve(state=StudyState.PAUSED)
    tx.put_study(study)
    for key, value in adopt.user_attrs.items():
        if not key.startswith("tuner:"):
            tx.put_attribute(study.study_id, key, value)
    data = {"name": study.name, "by": user, "adopted_from": adopt.source}
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.SUBMITTED, at=now, data=data))
    return study


def _awaits(study: Study) -> bool:
    """Tell whether a study may still be given trials that ran elsewhere."""
    return study.state is StudyState.PAUSED and study.started_at is None


def _view(tx: Transaction, study: Study) -> Adopted:
    return Adopted(
        id=study.study_id,
        name=study.name,
        trials=tx.next_number(study.study_id),
        open=not _awaits(study),
    )


def append(
    tx: Transaction, ref: str, batch: AdoptTrials, found: Sequence[Ended | Waiting], now: datetime
) -> Adopted:
    """Give a study its next trials; after the last ones it opens.

    Raises:
        Conflict: the study has not `batch.first` trials.
        NotFound: there is no such study.
        StudyState: the study does not wait for trials that ran elsewhere.
    """
    study = find(tx, ref)
    if not _awaits(study):
        message = f"study {study.name!r} is {study.state}: only a paused one that never started"
        raise WrongState(f"{message} can be given trials", state=study.state.value)
    count = tx.next_number(study.study_id)
    if batch.first != count:
        raise Conflict(f"study {study.name!r} has {count} trials: go on from there", trials=count)
    for number, one in enumerate(found, count):
        if isinstance(one, Ended):
            tx.adopt_trial(one.trial, one.record)
        else:
            seed = study.trial_seed(number)
            tx.new_trial(study.study_id, one.params, Origin.ENQUEUED, seed, now)
    if batch.last:
        study = _open(tx, study, now)
    return _view(tx, study)


def _open(tx: Transaction, study: Study, now: datetime) -> Study:
    study = study.evolve(state=StudyState.QUEUED)
    tx.put_study(study)
    data = {"reason": f"adopted with {tx.next_number(study.study_id)} trials"}
    tx.add_event(Event(study_id=study.study_id, kind=EventKind.RESUMED, at=now, data=data))
    return lifecycle.settle(tx, study.study_id, now)
