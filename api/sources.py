"""Checkpoints of other trials that a recipe names: settled at submission, handed out."""

from __future__ import annotations

from api import views
from api.access import find_seen
from api.fence import lease_of
from api.services import Services
from storage.memory import Reader
from tuner.access import Identity
from tuner.errors import Fault, InvalidInput, NotFound
from tuner.spec import RunTask, StudySpec
from tuner.study import Study
from tuner.trial import Checkpoint, Trial

_FIELDS = ("start_from", "teacher")


def settled(reader: Reader, spec: StudySpec, who: Identity) -> StudySpec:
    """Return a document whose recipe names trials by number, each with a checkpoint to give.

    `best` is settled once, so that all trials of the study start from the same weights.

    Raises:
        InvalidInput: there is no such trial for `who` to see, or it has no checkpoint.
    """
    run = spec.run
    if not isinstance(run, RunTask) or run.recipe is None or not _named(run):
        return spec
    changed: dict[str, str | list[str]] = {}
    for field in _FIELDS:
        named = getattr(run.recipe, field)
        if isinstance(named, str):
            changed[field] = _number(reader, field, named, who)
        elif named is not None:
            changed[field] = [_number(reader, field, one, who) for one in named]
    recipe = run.recipe.model_copy(update=changed)
    return spec.model_copy(update={"run": run.model_copy(update={"recipe": recipe})})


def _named(run: RunTask) -> list[str]:
    found = [] if run.recipe is None else [getattr(run.recipe, field) for field in _FIELDS]
    flat = [one if isinstance(one, list) else [one] for one in found if one is not None]
    return [name for names in flat for name in names]


def _number(reader: Reader, field: str, name: str, who: Identity) -> str:
    ref, _, which = name.rpartition("/")
    try:
        study = find_seen(reader, ref, who)
        number = _best(reader, study) if which == "best" else int(which)
        trial = reader.trial(study.study_id, number)
    except NotFound as exc:
        raise _refused(field, exc.detail) from exc
    if trial.checkpoint is None:
        raise _refused(field, f"trial {number} of {ref} keeps no checkpoint")
    return f"{ref}/{number}"


def _best(reader: Reader, study: Study) -> int:
    best = views.best(study, reader.trials(study.study_id))
    if best is None:
        raise NotFound(f"study {study.name} has no best trial yet")
    return best.number


def _refused(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, [Fault(where=f"run.recipe.{field}", message=message)])


def source(services: Services, token: str, who: Identity, name: str) -> Checkpoint:
    """Return the newest checkpoint of a trial that the leased trial's study names.

    Raises:
        NotAllowed: the lease was given to another access token.
        NotFound: its study does not name it, or it is gone.
        StaleAttempt: the lease is void.
    """
    memory = services.ledger.memory
    lease = lease_of(memory, token, who)
    run = memory.study(lease.study_id).spec.run
    if not isinstance(run, RunTask) or name not in _named(run):
        raise NotFound(f"the study names no trial {name}")
    ref, _, number = name.rpartition("/")
    study = memory.study(int(ref)) if ref.isdigit() else memory.study_named(ref)
    trial: Trial = memory.trial(study.study_id, int(number))
    if trial.checkpoint is None:
        raise NotFound(f"trial {name} keeps no checkpoint any more")
    return trial.checkpoint
