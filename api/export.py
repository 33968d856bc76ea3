"""Taking results away: a document that replays the best trial, or everything as JSON."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ruamel.yaml import YAML

from api import history, studies, views
from api.services import Services
from storage.memory import Reader
from tuner.command import without
from tuner.decision import Outcome
from tuner.errors import NotFound
from tuner.spec import SETS_RATE, HalveOnPlateau, RunCommand, StudySpec
from tuner.study import Study
from tuner.trial import Report, Trial
from tuner.wire import TrialExport

_EVENTS_A_PAGE = 1000


def replay(study: Study, trials: Sequence[Trial]) -> str:
    """Return YAML of a study whose one trial trains as the best one did.

    Raises:
        NotFound: no trial has a value yet.
    """
    best = views.best(study, trials)
    if best is None:
        raise NotFound(f"study {study.name!r} has no trial with a value yet")
    trial = next(t for t in trials if t.number == best.number)
    at = f"{study.spec.objective.metric} {trial.value!r} at step {best.step}"
    return replay_of(study, trial, at)


def replay_of(study: Study, trial: Trial, note: str = "") -> str:
    """Return YAML of a study whose one trial trains as a trial did.

    Its space holds the trial's values, its policy the rate schedule as it really ran, and its
    sampler the trial's own seed.
    """
    text = io.StringIO()
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(document_of(study, trial), text)
    said = note or (trial.outcome or trial.state).value
    return f"# Replays trial {trial.number} of study {study.name!r}: {said}.\n{text.getvalue()}"


def document_of(study: Study, trial: Trial) -> dict[str, Any]:
    """Return the study document that replays a trial."""
    spec = study.spec
    steps = trial.last_step if trial.outcome is Outcome.CONVERGED else spec.budget.steps
    found: dict[str, Any] = {
        "api_version": spec.api_version,
        "objective": _plain(spec, "objective"),
        "space": {name: {"value": value} for name, value in _params(spec, trial).items()},
        "sampler": {"name": "random", "trial_seed": trial.seed},
        "pruner": {"name": "none"},
        "policies": _policies(spec, trial),
        "budget": {"trials": 1} | ({} if steps is None else {"steps": steps}),
        "run": _run(spec, trial),
        "retry": _plain(spec, "retry"),
        "queue": _plain(spec, "queue"),
    }
    return {key: value for key, value in found.items() if value != {}}


def _plain(spec: StudySpec, section: str) -> Any:
    return spec.model_dump(
        mode="json", include={section}, exclude_none=True, exclude_defaults=True
    ).get(section, {})


def _run(spec: StudySpec, trial: Trial) -> Any:
    run = _plain(spec, "run")
    if isinstance(spec.run, RunCommand):
        absent = spec.build_space().parameters.keys() - trial.params.keys()
        kept = without(spec.run.items, absent)
        run["command"] = [item if isinstance(item, str) else list(item) for item in kept]
    return run


def _policies(spec: StudySpec, trial: Trial) -> list[dict[str, Any]]:
    start = _first_level(trial)
    points = [
        {"step": p.step, "lr_factor": p.lr_factor / start}
        for p in views.schedule(trial.reports)
        if p.step > 0
    ]
    kept = [
        p.model_dump(mode="json", exclude_none=True)
        for p in spec.policies or ()
        if not isinstance(p, SETS_RATE)
    ]
    return [*([{"name": "rate_schedule", "points": points}] if points else []), *kept]


def _params(spec: StudySpec, trial: Trial) -> dict[str, Any]:
    """Return the parameters; a rate that did not begin at its own value begins where it did."""
    params = dict(trial.params)
    rates = [p.rate for p in spec.policies or () if isinstance(p, HalveOnPlateau)] or ["lr"]
    start, rate = _first_level(trial), params.get(rates[0])
    if start != 1.0 and isinstance(rate, float):
        params[rates[0]] = rate * start
    return params


def _first_level(trial: Trial) -> float:
    return trial.reports[0].lr_factor if trial.reports else 1.0


async def everything(reader: Reader, services: Services, study: Study) -> AsyncIterator[str]:
    """Yield one JSON object, a `StudyExport`, piece by piece: the study, its trials, its events."""
    head = studies.show(reader, services, study).model_dump_json()
    yield f'{{"study":{head},"trials":['
    for i, trial in enumerate(reader.trials(study.study_id)):
        yield ("," if i else "") + _export(reader, trial).model_dump_json()
    yield '],"events":['
    after, first = 0, True
    while True:
        page = await history.event_page(services, study.study_id, after=after, limit=_EVENTS_A_PAGE)
        for event in page.items:
            yield ("" if first else ",") + event.model_dump_json()
            first = False
        if page.next_cursor is None:
            break
        after = page.items[-1].seq
    yield "]}"


def _export(reader: Reader, trial: Trial) -> TrialExport:
    return TrialExport(
        **views.trial_fields(trial, reader.remark(trial.study_id, trial.number)),
        schedule=views.schedule(trial.reports),
        curve=[_point(r) for r in trial.reports],
    )


def _point(report: Report) -> tuple[int, float | None, float]:
    return report.step, views.finite(report.value), report.lr_factor
