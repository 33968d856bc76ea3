"""Checkpoints of other trials that a study's recipe names, settled when it is submitted."""

from __future__ import annotations

from api import finalists, views
from api.access import find_seen
from storage.memory import Reader
from tuner.access import Identity
from tuner.errors import Fault, InvalidInput, NotFound
from tuner.spec import RunTask, StudySpec
from tuner.study import Study
from tuner.train.taken import unfit

_FIELDS = ("start_from", "teacher")


def settled(reader: Reader, spec: StudySpec, who: Identity) -> StudySpec:
    """Return a document whose recipe names trials by number, each with a checkpoint to give.

    `best` is settled once, so that all trials of the study start from the same weights.

    Raises:
        InvalidInput: there is no such trial for `who` to see in the study's project, its network is
            another one, or it keeps no checkpoint.
    """
    run = spec.run
    if not isinstance(run, RunTask) or run.recipe is None or not _named(run):
        return spec
    changed: dict[str, str | list[str]] = {}
    for field in _FIELDS:
        named = getattr(run.recipe, field)
        try:
            if isinstance(named, str):
                found = _numbered(reader, spec, field, named, who)
                changed[field] = found if len(found) > 1 else found[0]
            elif named is not None:
                each = [_numbered(reader, spec, field, one, who) for one in named]
                changed[field] = [one for several in each for one in several]
        except NotFound as exc:
            where = f"run.recipe.{field}"
            raise InvalidInput(
                f"{where}: {exc.detail}", [Fault(where=where, message=exc.detail)]
            ) from exc
    recipe = run.recipe.model_copy(update=changed)
    return spec.model_copy(update={"run": run.model_copy(update={"recipe": recipe})})


def _named(run: RunTask) -> list[str]:
    found = [] if run.recipe is None else [getattr(run.recipe, field) for field in _FIELDS]
    flat = [one if isinstance(one, list) else [one] for one in found if one is not None]
    return [name for names in flat for name in names]


def _numbered(reader: Reader, spec: StudySpec, field: str, name: str, who: Identity) -> list[str]:
    ref, _, which = name.rpartition("/")
    study = find_seen(reader, ref, who)
    if study.spec.queue.project != spec.queue.project:
        raise NotFound(f"study {ref} is of another project than this one")
    numbers = [int(which)] if which.isdigit() else _best(reader, study, which)
    for number in numbers:
        trial = reader.trial(study.study_id, number)
        if (why := unfit(field, spec, study.spec, trial.params)) is not None:
            raise NotFound(f"{ref}/{number} does not fit: {why}")
        if trial.checkpoint is None:
            raise NotFound(f"trial {number} of {ref} keeps no checkpoint")
    return [f"{ref}/{number}" for number in numbers]


def _best(reader: Reader, study: Study, which: str) -> list[int]:
    trials = reader.trials(study.study_id)
    best = views.best(study, trials)
    if best is None:
        raise NotFound(f"study {study.name} has no best trial yet")
    if which == "best":
        return [best.number]
    wanted = int(which.removeprefix("top"))
    found = finalists.distinct(study, trials)[:wanted]
    if len(found) < wanted:
        raise NotFound(f"study {study.name} has {len(found)} configurations with a value")
    return [trial.number for trial in found]
