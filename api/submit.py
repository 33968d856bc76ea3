"""Submitting: a checked document becomes a study with its first trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

from api import again, search
from api.views import document
from storage.memory import Reader
from storage.transaction import Transaction
from tuner import command
from tuner.defaults import normalise
from tuner.errors import DuplicateName
from tuner.folk import rules_of_thumb
from tuner.handle import ParamValue
from tuner.space import Categorical, Space
from tuner.spec import RunCommand, RunEntrypoint, RunTask, StudySpec, check
from tuner.study import Study
from tuner.train.asked import optimizer_of, own_choice
from tuner.trial import Event, EventKind, Origin
from tuner.wire import CloneStudy

_LONGEST_STEM = 90


class Submission(NamedTuple):
    """A normalised document, what to say about it, and the stem of its name if it has none."""

    spec: StudySpec
    warnings: Sequence[str]
    stem: str


def prepare(spec: StudySpec) -> Submission:
    """Normalise a document and see that it can be searched. May take a second.

    Raises:
        InvalidInput: it asks for what can't be.
    """
    full, warnings = normalise(spec)
    search.check(full)
    return Submission(full, warnings, _stem(full))


def prepare_clone(study: Study, clone: CloneStudy) -> Submission:
    """Merge changes into a study's document and normalise it.

    Sections are merged key by key, and null takes a key away; a parameter of the space, another run
    and another pruner replace the old one whole.

    Raises:
        InvalidInput: the changed document breaks the rules.
    """
    merged = _merge(_reopened(study.spec), clone.changes)
    if clone.name is not None:
        merged["name"] = clone.name
    submission = prepare(check(merged))
    stem = study.name[:_LONGEST_STEM]
    return submission._replace(stem=f"{stem}-again" if "again" in clone.changes else stem)


def submit(tx: Transaction, submission: Submission, user: str, now: datetime) -> Study:
    """Create the study, and its rules of thumb as waiting trials within half of its budget.

    Before them come the configurations of the study that it runs `again`.

    Raises:
        DuplicateName: the name is taken.
        InvalidInput: those configurations lie outside of its space.
    """
    study = _create(tx, submission, user, now)
    for params, note in again.points(tx, study):
        number = tx.next_number(study.study_id)
        seed = study.trial_seed(number)
        tx.new_trial(study.study_id, params, Origin.ENQUEUED, seed, now, note=note)
    folk = [] if _is_point(study.space) else _folk(study)
    tx.add_event(
        Event(
            study_id=study.study_id,
            kind=EventKind.SUBMITTED,
            at=now,
            data={"name": study.name, "by": user, "rules_of_thumb": len(folk)},
        )
    )
    for params in folk:
        number = tx.next_number(study.study_id)
        tx.new_trial(study.study_id, params, Origin.FOLK, study.trial_seed(number), now)
    return study


def free_name(reader: Reader, name: str | None) -> None:
    """Check that a name could be used.

    Raises:
        DuplicateName: it is taken.
    """
    for study in reader.studies():
        if study.name == name:
            raise DuplicateName(f"a study named {name!r} exists", study_id=study.study_id)


def _folk(study: Study) -> list[dict[str, ParamValue]]:
    return rules_of_thumb(
        study.space,
        study.allows,
        max(1, study.spec.budget.trials // 2),
        optimizer_of(study.spec),
        own_choice(study.spec),
    )


def _is_point(space: Space) -> bool:
    """Tell whether a space leaves nothing to choose, as that of a replay."""
    return all(isinstance(p, Categorical) and len(p.values) == 1 for p in space.parameters.values())


def _create(tx: Transaction, submission: Submission, user: str, now: datetime) -> Study:
    spec = submission.spec
    if spec.name is not None:
        return tx.new_study(spec.name, spec, user, now)
    for name in _names(submission.stem):
        try:
            return tx.new_study(name, spec.model_copy(update={"name": name}), user, now)
        except DuplicateName:
            continue
    raise AssertionError("names never end")


def _names(stem: str) -> Iterator[str]:
    return (f"{stem}-{n}" for n in count(1))


def _stem(spec: StudySpec) -> str:
    if isinstance(spec.run, RunTask):
        stem = spec.run.task
    elif isinstance(spec.run, RunEntrypoint):
        stem = spec.run.entrypoint.replace(":", ".")
    elif isinstance(spec.run, RunCommand):
        stem = command.stem(spec.run.items)
    else:
        stem = spec.run
    return stem[:_LONGEST_STEM]


def _reopened(spec: StudySpec) -> dict[str, Any]:
    """Return the document without its name, and without the rungs that follow from its steps."""
    found = document(spec)
    found.pop("name", None)
    pruner, steps = found.get("pruner", {}), spec.budget.steps
    if steps is not None and pruner.get("max") == steps:
        del pruner["max"]
        if pruner.get("min") == max(1, round(steps / 10)):
            del pruner["min"]
    return found


def _merge(old: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in changes.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict) and _mixes(key, before, value):
            merged[key] = {k: v for k, v in {**before, **value}.items() if v is not None}
        else:
            merged[key] = value
    return {k: v for k, v in merged.items() if v is not None}


def _mixes(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether the keys of a changed section go with those of the old one."""
    if key == "run":
        return not {"task", "entrypoint", "command"} & new.keys()
    if key == "pruner":
        return bool(new.get("name", old["name"]) == old["name"])
    return True
