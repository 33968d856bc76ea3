"""Whether the kept files of trials are in their store: checkpoints and artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, select

from storage import rows
from storage.check.finding import Finding
from storage.prune import DELETED
from storage.snapshot import snapshot
from storage.stores import FolderStore, Store
from storage.stores.base import inside, read_sha256
from storage.tables import artifacts, checkpoints, optuna_studies, studies, trials
from storage.unnamed import unnamed
from tuner.errors import InvalidInput, Unavailable

_FETCH = 10_000
_LOOKS = 16
"""Files looked at side by side: each may cost a round trip to a store."""


class Held(NamedTuple):
    """A file that a trial holds, what it is for, and whether it is registered."""

    rule: str
    study: str
    number: int
    what: str
    path: str
    sha256: str
    size: int
    registered: bool = True


def lost_files(url: str, store: Store, *, hashes: bool) -> list[Finding]:
    """Return the kept files that are missing, cut short or, with `hashes`, changed.

    A server tidies its store while we look: what is wrong is judged again on a later snapshot.
    """
    suspects = [held for held, fault in _judged(_held(url), store, hashes=hashes) if fault]
    if not suspects:
        return []
    still = set(_held(url))
    again = _judged([h for h in suspects if h in still], store, hashes=hashes)
    return [
        Finding(rule=h.rule, study=h.study, trial=h.number, message=fault)
        for h, fault in again
        if fault
    ]


def spare_files(url: str, store: Store) -> int:
    """Count the files in a store that nothing names: on their way, or left behind."""
    found = [stat.key for stat in store.listing() if "/" in stat.key]
    with snapshot(url) as connection:
        return len(unnamed(connection, found))


def _judged(found: list[Held], store: Store, *, hashes: bool) -> Iterator[tuple[Held, str]]:
    with ThreadPoolExecutor(_LOOKS) as pool:
        faults = pool.map(partial(_fault, store=store, hashes=hashes), found)
        yield from zip(found, faults, strict=True)


def _held(url: str) -> list[Held]:
    with snapshot(url) as connection:
        return [*_resumed(connection), *_kept(connection)]


def _resumed(connection: Connection) -> Iterator[Held]:
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
        found = rows.read_checkpoint(stored)
        if found is not None:
            what = f"resumes from step {found.step}: "
            yield Held(
                "checkpoint", study, number, what, found.path, found.sha256, found.size,
                (trial_id, found.path) in paths,
            )  # fmt: skip


def _kept(connection: Connection) -> Iterator[Held]:
    """Yield all other checkpoints that are kept, and all artifacts."""
    current = {
        found.path
        for (stored,) in connection.execute(
            select(trials.c.checkpoint).where(trials.c.checkpoint.is_not(None))
        ).yield_per(_FETCH)
        if (found := rows.read_checkpoint(stored)) is not None
    }
    for table, rule, label in (
        (checkpoints, "checkpoint", checkpoints.c.step),
        (artifacts, "artifact", artifacts.c.name),
    ):
        query = (
            select(
                optuna_studies.c.study_name, trials.c.number, label.label("label"),
                table.c.path, table.c.sha256, table.c.size,
            )
            .join(trials, trials.c.trial_id == table.c.trial_id)
            .join(optuna_studies, optuna_studies.c.study_id == trials.c.study_id)
            .join(studies, studies.c.study_id == trials.c.study_id)
            .where(studies.c.state != DELETED)
            .order_by(table.c.trial_id, label)
        )  # fmt: skip
        word = "keeps step " if rule == "checkpoint" else "keeps "
        for study, number, what, path, sha256, size in connection.execute(query).yield_per(_FETCH):
            if path not in current:
                yield Held(rule, study, number, f"{word}{what}: ", path, sha256, size)


def _fault(held: Held, store: Store, *, hashes: bool) -> str:
    what, path = held.what, held.path
    if not held.registered:
        return f"{what}{path} is not registered"
    try:
        inside(path)
    except InvalidInput:
        return f"{what}{path} lies outside of the artifact store"
    try:
        fault = _difference(held, store, hashes=hashes)
    except Unavailable as exc:
        if not isinstance(store, FolderStore):
            raise
        return f"{what}{exc.detail}"
    return fault and f"{what}{path} {fault}"


def _difference(held: Held, store: Store, *, hashes: bool) -> str:
    size = store.size(held.path)
    if size is None:
        return "is missing"
    if size != held.size:
        return f"has {size} bytes instead of {held.size}"
    found = read_sha256(store, held.path) if hashes else held.sha256
    if found is None:
        return "can't be read"
    return "" if found == held.sha256 else "has another content than was stored"
