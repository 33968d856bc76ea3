"""What people keep beside studies and trials: notes, tags, pins, and views of the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class RemarkKey(NamedTuple):
    """Whose remark it is: a study's (`number` None) or a trial's."""

    study_id: int
    number: int | None


@dataclass(frozen=True, kw_only=True)
class Remark:
    """A note, tags and a pin, as people last set them. `text` is plain; `tags` are sorted."""

    study_id: int
    number: int | None = None
    text: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    by: str = ""
    at: datetime | None = None

    @property
    def key(self) -> RemarkKey:
        """Whose it is."""
        return RemarkKey(self.study_id, self.number)


@dataclass(frozen=True, kw_only=True)
class SavedView:
    """A page of the dashboard with a name: its query string. None as project: of all projects."""

    view_id: str
    name: str
    query: str
    project: str | None
    created_by: str
    created_at: datetime
