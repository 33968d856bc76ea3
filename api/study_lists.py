"""Lists of studies."""

from __future__ import annotations

from typing import Literal, NamedTuple

from api.listing import Order, cut
from api.services import Services
from api.studies import show
from api.views import best
from storage.memory import Reader
from tuner.access import Identity
from tuner.study import Study
from tuner.trial import StudyState
from tuner.wire import StudyPage

Sort = Literal[
    "created", "-created", "name", "-name", "priority", "-priority", "best", "-best"
]  # fmt: skip


class Wanted(NamedTuple):
    """Which studies to list, and in which order: `-` turns it round. `name` is how names begin.

    `best` sorts by the best value, whatever the direction; studies without one come last.
    """

    state: StudyState | None = None
    project: str | None = None
    name: str | None = None
    owner: str | None = None
    sort: Sort = "-created"
    tag: str | None = None

    def holds(self, study: Study) -> bool:
        """Tell whether a study is to be listed."""
        return (
            (self.state is None or study.state is self.state)
            and (self.project is None or study.spec.queue.project == self.project)
            and (self.name is None or study.name.startswith(self.name))
            and (self.owner is None or study.created_by == self.owner)
        )


def page(
    reader: Reader,
    services: Services,
    wanted: Wanted,
    who: Identity,
    *,
    limit: int,
    cursor: str | None,
) -> StudyPage:
    """Show a page of the studies that `who` may see.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    seen = (s for s in reader.studies() if who.sees(s.spec.queue.project))
    found = [s for s in seen if wanted.holds(s) and _has(reader, s, wanted.tag)]
    order = _order(reader, wanted.sort)
    items, more = cut(found, order, ("studies", *wanted), limit=limit, cursor=cursor)
    return StudyPage(items=[show(reader, services, s) for s in items], next_cursor=more)


def _has(reader: Reader, study: Study, tag: str | None) -> bool:
    return tag is None or tag in reader.remark(study.study_id).tags


def _order(reader: Reader, sort: Sort) -> Order[Study]:
    def value(study: Study) -> float | str | None:
        if name == "created":
            return study.study_id
        if name == "name":
            return study.name
        if name == "priority":
            return study.spec.queue.priority
        found = best(study, reader.trials(study.study_id))
        return None if found is None else found.value

    name = sort.removeprefix("-")
    return Order(value=value, ident=lambda s: s.study_id, reverse=sort.startswith("-"))
