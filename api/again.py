"""Another study's best configurations as a study's first trials."""

from __future__ import annotations

from api import finalists
from api.access import find_seen
from storage.memory import Reader
from tuner.access import Identity
from tuner.errors import Fault, InvalidInput, NotFound
from tuner.space import Params
from tuner.spec import StudySpec
from tuner.study import Study


def settled(reader: Reader, spec: StudySpec, who: Identity) -> StudySpec:
    """Return a document whose `again` says which trials run again here.

    Raises:
        InvalidInput: `who` sees no such study, it has another objective, or no configuration of it
            can run again.
    """
    if spec.again is None:
        return spec
    try:
        study = find_seen(reader, spec.again.of, who)
    except NotFound as exc:
        raise _refused(exc.detail) from exc
    if study.spec.objective != spec.objective:
        raise _refused(f"study {study.name} has another objective than this one")
    trials = reader.trials(study.study_id)
    rows = finalists.summary(study, trials)
    places = {row.source: place for place, row in enumerate(rows)}
    ranked = finalists.distinct(study, trials)
    ranked.sort(key=lambda trial: places.get(trial.number, len(places)))
    if not ranked:
        raise _refused(f"study {study.name} has no trial that trained to its end")
    update = {
        "of": study.name,
        "study": study.study_id,
        "trials": [trial.number for trial in ranked[: spec.again.top]],
        "then": rows[0].mean if rows else ranked[0].value,
    }
    return spec.model_copy(update={"again": spec.again.model_copy(update=update)})


def points(reader: Reader, study: Study) -> list[tuple[Params, str]]:
    """Return the parameters that run first in a study, each with a note on where they are from.

    Raises:
        InvalidInput: they lie outside of its space.
        NotFound: the study that they are of is gone.
    """
    again, found = study.spec.again, []
    if again is None or again.study is None:
        return []
    for number in again.trials:
        params = reader.trial(again.study, number).params
        faults = study.space.faults(params)
        if faults or not study.allows(params):
            why = faults[0] if faults else "a constraint does not hold"
            raise _refused(f"trial {number} of {again.of} does not fit this study's space: {why}")
        found.append((params, f"trial {number} of {again.of} again"))
    return found


def _refused(why: str) -> InvalidInput:
    return InvalidInput(why, [Fault(where="again.of", message=why)])
