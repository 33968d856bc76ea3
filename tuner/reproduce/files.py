"""Files that a recorded trial began with: checkpoints of other trials, fetched from the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuner.client import Client, StudyHandle
from tuner.client.record import KeptFile
from tuner.errors import InvalidInput, NotFound
from tuner.reproduce.recorded import Origin, Recorded
from tuner.trial import INHERITED
from tuner.wire import KeptCheckpointView
from tuner.worker.messages import ResumeFrom


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where fetched checkpoints lie.

    Args:
        sources: those that a recipe names, by the recipe's field.
        resume: the one that the trial went on from.
    """

    sources: Mapping[str, list[str]] = field(default_factory=dict)
    resume: ResumeFrom | None = None


def fetch(server: Client, handle: StudyHandle, trial: Recorded, folder: Path) -> Files:
    """Fetch what a trial began with into `folder`.

    Raises:
        InvalidInput: a checkpoint is kept no longer, so the trial can't be run again.
    """
    resume = None if trial.origin is None else _resume(server, handle, trial, trial.origin, folder)
    fields = ("teacher",) if resume is not None else ("teacher", "start_from")
    sources = {
        name: [
            str(_last(server, one, name, folder / name / str(place)))
            for place, one in enumerate(trial.named(name))
        ]
        for name in fields
        if trial.named(name)
    }
    return Files(sources=sources, resume=resume)


def _last(server: Client, name: str, field: str, folder: Path) -> Path:
    """Fetch the last checkpoint of a trial that a recipe names as `STUDY/NUMBER`."""
    study, _, number = name.rpartition("/")
    found = _kept(server.study, study, int(number), lambda view: view.last)
    if found is None:
        raise InvalidInput(
            f"trial {number} of {study}, which run.recipe.{field} names, keeps no checkpoint any "
            "more: the trial can't be run again"
        )
    return found.download(folder)


def _resume(
    server: Client, handle: StudyHandle, trial: Recorded, origin: Origin, folder: Path
) -> ResumeFrom:
    def copied(view: KeptCheckpointView) -> bool:
        return view.attempt == INHERITED

    def original(view: KeptCheckpointView) -> bool:
        return view.step == origin.step

    def own(_: str) -> StudyHandle:
        return handle

    found = _kept(own, trial.study, trial.number, copied)
    if found is None:
        found = _kept(server.study, str(origin.study_id), origin.trial, original)
    if found is None:
        raise InvalidInput(
            f"trial {trial.number} went on from the checkpoint of step {origin.step} of "
            f"{origin.name}, which is kept no longer: it can't be run again"
        )
    path = found.download(folder / "resume")
    return ResumeFrom(step=origin.begins, path=str(path), inherited=True)


def _kept(
    open_study: Callable[[str], StudyHandle],
    study: str,
    number: int,
    wanted: Callable[[KeptCheckpointView], bool],
) -> KeptFile | None:
    """Return the newest checkpoint that a trial keeps and that is wanted, None if it is gone."""
    try:
        kept = open_study(study).trial(number).checkpoints()
    except NotFound:
        return None
    for file in reversed(kept):
        if isinstance(file.view, KeptCheckpointView) and wanted(file.view):
            return file
    return None
