"""Whether the checkpoints that trials resume from are in the artifact folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sqlalchemy import Connection, select

from storage import rows
from storage.check.finding import Finding
from storage.prune import DELETED
from storage.snapshot import snapshot
from storage.tables import checkpoints, optuna_studies, studies, trials
from tuner.trial import Checkpoint

_PIECE = 1 << 20
_FETCH = 10_000


class Held(NamedTuple):
    """The checkpoint that a trial would resume from, and whether it is registered."""

    study: str
    number: int
    checkpoint: Checkpoint
    registered: bool


def lost_files(url: str, folder: Path, *, hashes: bool) -> list[Finding]:
    """Return the current checkpoints that are missing, cut short or, with `hashes`, changed.

    A server tidies its folder while we look: what is wrong is judged again on a later snapshot.
    """
    suspects = [h for h in _held(url) if _fault(h, folder, hashes=hashes)]
    if not suspects:
        return []
    still = set(_held(url))
    again = ((h, _fault(h, folder, hashes=hashes)) for h in suspects if h in still)
    return [
        Finding(rule="checkpoint", study=h.study, trial=h.number, message=fault)
        for h, fault in again
        if fault
    ]


def _held(url: str) -> list[Held]:
    with snapshot(url) as connection:
        return list(held_checkpoints(connection))


def held_checkpoints(connection: Connection) -> Iterator[Held]:
    """Yield the checkpoints that trials would resume from."""
    table = checkpoints
    paths = {
        (row.trial_id, row.path)
        for row in connection.execute(select(table.c.trial_id, table.c.path)).yield_per(_FETCH)
    }
    query = (
        select(optuna_studies.c.study_name, trials.c.number, trials.c.trial_id, trials.c.checkpoint)
        .join(optuna_studies, optuna_studies.c.study_id == trials.c.study_id)
        .join(studies, studies.c.study_id == trials.c.study_id)
        .where(trials.c.checkpoint.is_not(None), studies.c.state != DELETED)
        .order_by(trials.c.trial_id)
    )
    for study, number, trial_id, stored in connection.execute(query).yield_per(_FETCH):
        checkpoint = rows.read_checkpoint(stored)
        if checkpoint is not None:
            yield Held(study, number, checkpoint, (trial_id, checkpoint.path) in paths)


def _fault(held: Held, folder: Path, *, hashes: bool) -> str:
    checkpoint = held.checkpoint
    what = f"resumes from step {checkpoint.step}: "
    inside = PurePosixPath(checkpoint.path)
    if not held.registered:
        return f"{what}{checkpoint.path} is not registered"
    if inside.is_absolute() or ".." in inside.parts:
        return f"{what}{checkpoint.path} lies outside of the artifact folder"
    try:
        size = (folder / inside).stat().st_size
        if size != checkpoint.size:
            return f"{what}{checkpoint.path} has {size} bytes instead of {checkpoint.size}"
        if hashes and _sha256(folder / inside) != checkpoint.sha256:
            return f"{what}{checkpoint.path} has another content than was stored"
    except OSError as exc:
        return f"{what}{checkpoint.path} can't be read: {exc.strerror}"
    return ""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
