"""Who may hear what: the one place where streams meet identities."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from api.access import identity_of, still_valid

Scope = MutableMapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class View:
    """Which studies a listener hears of; None is all of them."""

    study_id: int | None = None
    projects: frozenset[str] | None = None

    def sees(self, study_id: int, project: str) -> bool:
        """Tell whether a study's messages are for this listener."""
        if self.study_id is not None and study_id != self.study_id:
            return False
        return self.projects is None or project in self.projects


def view_of(scope: Scope, study_id: int | None) -> View:
    """Return what the caller may hear."""
    project = identity_of(scope).project
    return View(study_id=study_id, projects=None if project is None else frozenset({project}))


def caller_of(scope: Scope) -> str:
    """Return whose share of places and requests a request counts for."""
    return identity_of(scope).token_id


def validity_of(scope: Scope) -> Callable[[], bool]:
    """Return what tells whether the caller's token still holds; asked at each heartbeat."""
    return partial(still_valid, scope)
