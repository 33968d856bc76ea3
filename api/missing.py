"""Checkpoints whose files are gone, as after a restore: trials go on from an earlier one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from api.services import Services
from storage import queries
from storage.memory import Reader, same_report
from storage.transaction import Transaction
from tuner.errors import NotFound
from tuner.trial import Checkpoint, Event, EventKind, Trial, TrialState

_log = logging.getLogger(__name__)


async def fall_back(services: Services) -> None:
    """Let each open trial whose checkpoint is missing resume from the newest one that is there.

    Without any it starts anew. Files are looked at once, when the server starts.

    Raises:
        Unavailable: the database is away.
    """
    memory, folder = services.ledger.memory, services.settings.artifact_dir
    held = [
        trial
        for study in memory.studies()
        if not study.is_over
        for trial in memory.trials(study.study_id)
        if trial.state is not TrialState.ENDED and trial.checkpoint is not None
    ]
    for trial in await asyncio.to_thread(_without_file, folder, held):
        known = await queries.trial_checkpoints(services.ledger, trial.study_id, trial.number)
        there = await asyncio.to_thread(_whole, folder, known)
        fitting = [c for c in there if _fits(memory, trial, c)]
        newest = max(fitting, key=lambda c: (c.attempt, c.step), default=None)
        await services.ledger.write(partial(_resume_from, services, trial, newest))


def _without_file(folder: Path, trials: Sequence[Trial]) -> list[Trial]:
    return [t for t in trials if t.checkpoint and not _whole(folder, [t.checkpoint])]


def _whole(folder: Path, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    found = []
    for checkpoint in checkpoints:
        try:
            if (folder / checkpoint.path).stat().st_size == checkpoint.size:
                found.append(checkpoint)
        except OSError:
            continue
    return found


def _fits(reader: Reader, trial: Trial, checkpoint: Checkpoint) -> bool:
    """Tell whether the trial's curve up to a checkpoint is the one that led to it."""
    for report in trial.reports:
        if report.step > checkpoint.step:
            break
        stored = (
            reader.stored_report(trial.study_id, trial.number, attempt, report.step)
            for attempt in range(checkpoint.attempt + 1)
        )
        if not any(s is not None and same_report(s, report) for s in stored):
            return False
    return True


def _resume_from(
    services: Services, seen: Trial, found: Checkpoint | None, tx: Transaction
) -> None:
    try:
        trial = tx.trial(seen.study_id, seen.number)
    except NotFound:
        return
    lost = trial.checkpoint
    if lost is None or lost != seen.checkpoint or trial.state is TrialState.ENDED:
        return
    tx.put_trial(trial.evolve(checkpoint=found))
    step = 0 if found is None else found.step
    data = {"path": lost.path, "resumes_from": step}
    tx.add_event(
        Event(
            study_id=trial.study_id,
            kind=EventKind.MISSING,
            at=services.clock(),
            number=trial.number,
            attempt=lost.attempt,
            step=lost.step,
            data=data,
        )
    )
    _log.warning("the checkpoint %s is missing: its trial resumes from step %d", lost.path, step)
