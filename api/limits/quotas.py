"""What projects use of their quotas. Pure: asked of memory to look, of a transaction to decide."""

from __future__ import annotations

import math
from collections.abc import Collection

from api import lifecycle
from api.limits.settings import Limits
from api.listing import Order, cut
from storage.memory import Reader
from tuner.errors import QuotaReached
from tuner.study import Study
from tuner.wire import ProjectPage, ProjectView, QuotaView


def running(reader: Reader, project: str) -> int:
    """Count a project's running trials."""
    return sum(lifecycle.tally(reader, s.study_id).running for s in _open(reader, project))


def queued(reader: Reader, project: str) -> int:
    """Count a project's studies that are not over."""
    return len(_open(reader, project))


def artifact_bytes(reader: Reader, project: str) -> int:
    """Add up the sizes of a project's kept checkpoints and artifacts."""
    return sum(
        reader.held_bytes(study.study_id)
        for study in reader.studies()
        if study.spec.queue.project == project
    )


def _open(reader: Reader, project: str) -> Collection[Study]:
    return [s for s in reader.studies() if s.spec.queue.project == project and not s.is_over]


def check_queued(reader: Reader, limits: Limits, project: str) -> None:
    """Refuse one more study where a project has as many as it may.

    Raises:
        QuotaReached: it has.
    """
    limit = limits.quota(project).queued
    if limit is not None and (used := queued(reader, project)) >= limit:
        raise _reached(project, "queued", limit, used, f"{used} studies that are not over")


def check_artifact(
    reader: Reader, limits: Limits, project: str, *, size: int, replaced: int = 0
) -> None:
    """Refuse a file of `size` bytes, in the place of `replaced` bytes, beyond the quota.

    Raises:
        QuotaReached: the project would use more than it may.
    """
    limit = limits.quota(project).artifact_bytes
    if limit is None:
        return
    used = artifact_bytes(reader, project)
    if used - replaced + size > limit:
        raise _reached(project, "artifact_bytes", limit, used, f"{used} bytes of files")


def artifact_room(reader: Reader, limits: Limits, project: str) -> float:
    """Return the bytes of checkpoints that a project may store beside those it has."""
    limit = limits.quota(project).artifact_bytes
    return math.inf if limit is None else limit - artifact_bytes(reader, project)


def _reached(project: str, kind: str, limit: int, used: int, has: str) -> QuotaReached:
    return QuotaReached(
        f"project {project!r} has {has}; its quota is {limit}",
        project=project,
        quota=kind,
        limit=limit,
        used=used,
    )


class Parallel:
    """Which projects may start a further trial, while leases are planned.

    Without quotas on running trials nothing is counted.
    """

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self._reader = reader
        self._limits = limits
        self._running: dict[str, int] = {}

    def is_full(self, study: Study) -> bool:
        """Tell whether a study's project runs as many trials as it may."""
        project = study.spec.queue.project
        limit = self._limits.quota(project).parallel
        if limit is None:
            return False
        if project not in self._running:
            self._running[project] = running(self._reader, project)
        return self._running[project] >= limit

    def take(self, study: Study) -> None:
        """Count a planned trial."""
        project = study.spec.queue.project
        if project in self._running:
            self._running[project] += 1


def page(
    reader: Reader,
    limits: Limits,
    seen: Collection[str] | None,
    *,
    limit: int,
    cursor: str | None,
) -> ProjectPage:
    """Show a page of projects with what they use and may use; `seen` are shown, None is all.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    names = {s.spec.queue.project for s in reader.studies()} | set(limits.quotas) - {"*"}
    chosen = [n for n in names if seen is None or n in seen]
    by_name: Order[str] = Order(value=lambda n: n, ident=lambda _: 0)
    found, more = cut(chosen, by_name, ("projects",), limit=limit, cursor=cursor)
    items = [_view(reader, limits, name) for name in found]
    return ProjectPage(items=items, next_cursor=more)


def _view(reader: Reader, limits: Limits, project: str) -> ProjectView:
    quota = limits.quota(project)
    return ProjectView(
        project=project,
        studies=sum(s.spec.queue.project == project for s in reader.studies()),
        parallel=QuotaView(used=running(reader, project), limit=quota.parallel),
        queued=QuotaView(used=queued(reader, project), limit=quota.queued),
        artifact_bytes=QuotaView(used=artifact_bytes(reader, project), limit=quota.artifact_bytes),
    )
