"""What follows a search: studies of one trial that train its best configurations again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from api import finalists, views
from storage import Transaction
from tuner.defaults import normalise
from tuner.errors import DuplicateName, InvalidInput
from tuner.spec import AfterRun, Ensemble, Level, Member, RunTask, StudySpec, check
from tuner.study import Study
from tuner.trial import Event, EventKind, Trial, trial_seed
from tuner.wire import Extend

_LONGEST_STEM = 80
_LONGEST_SILENCE = 604_800.0


def begin(tx: Transaction, study: Study, now: datetime) -> list[Study]:
    """Submit the studies that `after` asks for and that are not there, in the same transaction."""
    if study.spec.after is None:
        return []
    known = [other.spec.run.after for other in tx.studies() if isinstance(other.spec.run, RunTask)]
    found = []
    for run in wanted(study, tx.trials(study.study_id)):
        if run not in known:
            found.append(_submit(tx, study, _document(study, run), run.kind, now))
    return found


def wanted(study: Study, trials: Sequence[Trial]) -> Iterator[AfterRun]:
    """Yield what is to follow a study; nothing without a trial that trained to its end."""
    after, ranked = study.spec.after, finalists.distinct(study, trials)
    if after is None or not ranked:
        return
    rows = finalists.summary(study, trials)
    best = next(t for t in ranked if not rows or t.number == rows[0].source)
    base: dict[str, Any] = {"of": study.study_id, "steps": study.spec.budget.steps}
    alone = base | {"members": [_member(study, best)]}
    if after.ensemble is not None:
        yield AfterRun(**base, kind="ensemble", **_members(study, after.ensemble, best, ranked))
    if after.data_doctor is not None:
        yield AfterRun(**alone, kind="data_doctor", **after.data_doctor.model_dump())
    if after.neighbours is not None:
        yield AfterRun(**alone, kind="neighbours", **after.neighbours.model_dump())


def _members(study: Study, wish: Ensemble, best: Trial, ranked: Sequence[Trial]) -> dict[str, Any]:
    """Return what an ensemble is made of."""
    if wish.snapshots is not None:
        return {"members": [_member(study, best)], "snapshots": wish.snapshots}
    if wish.seeds is not None:
        return {"members": [_member(study, best, seed=n) for n in range(wish.seeds)]}
    return {"members": [_member(study, trial) for trial in ranked[: wish.top]]}


def with_wishes(spec: StudySpec, more: Extend) -> StudySpec:
    """Return a document with the repeats and what follows that are asked for.

    Raises:
        InvalidInput: the study can't have them.
    """
    wishes = {k: v for k in ("repeats", "after") if (v := getattr(more, k)) is not None}
    if not wishes:
        return spec
    if more.repeats is not None and spec.sampler.trial_seed is not None:
        raise InvalidInput("repeats need fresh seeds, but the study fixes sampler.trial_seed")
    changed = spec.model_copy(update=wishes)
    normalise(changed)
    return changed


def _member(study: Study, trial: Trial, seed: int | None = None) -> Member:
    """Describe a trial's training up to its value; with `seed` on the fresh seed of this number."""
    return Member(
        trial=trial.number,
        params=dict(trial.params),
        seed=trial.seed if seed is None else trial_seed(study.spec.sampler.seed, -1 - seed),
        until=max(1, views.value_step(study, trial)),
        levels=[Level(step=p.step, lr_factor=p.lr_factor) for p in views.schedule(trial.reports)],
    )


def _document(study: Study, run: AfterRun) -> StudySpec:
    spec = study.spec
    kept = spec.model_dump(
        mode="json", include={"objective", "run", "retry", "queue"}, exclude_none=True
    )
    run_section = {
        "after": run.model_dump(mode="json"),
        # what reported after each step reports after a training now
        "progress_timeout": min(
            _LONGEST_SILENCE, kept["run"]["progress_timeout"] * max(1, run.stretch)
        ),
    }
    document: dict[str, Any] = kept | {
        "objective": kept["objective"] | {"value": "last"},
        "space": {name: {"value": value} for name, value in run.members[0].params.items()},
        "sampler": {"name": "random", "seed": spec.sampler.seed},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": 1, "steps": run.length},
        "run": kept["run"] | run_section,
    }
    full, _ = normalise(check(document))
    return full


def _submit(tx: Transaction, study: Study, spec: StudySpec, kind: str, now: datetime) -> Study:
    stem = f"{study.name[:_LONGEST_STEM]}-{kind.replace('_', '-')}"
    for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))):
        try:
            made = tx.new_study(name, spec.model_copy(update={"name": name}), study.created_by, now)
        except DuplicateName:
            continue
        data = {"name": name, "by": study.created_by, "follows": study.study_id}
        tx.add_event(Event(study_id=made.study_id, kind=EventKind.SUBMITTED, at=now, data=data))
        return made
    raise AssertionError("a study is not followed a thousand times")
