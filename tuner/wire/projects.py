"""Messages about projects: what each uses, and may use."""

from __future__ import annotations

from tuner.wire.base import Reply


class QuotaView(Reply):
    """What is used of a quota. `limit` is null where there is none."""

    used: int
    limit: int | None


class ProjectView(Reply):
    """A project: running trials, studies that are not over, bytes of kept files."""

    project: str
    studies: int
    parallel: QuotaView
    queued: QuotaView
    artifact_bytes: QuotaView


class ProjectPage(Reply):
    """GET /projects."""

    items: list[ProjectView]
    next_cursor: str | None = None
