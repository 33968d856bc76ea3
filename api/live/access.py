"""Who may hear what: the one place where streams meet identities."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

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
    """Return what the caller may hear; an identity may name its projects."""
    identity = scope.get("state", {}).get("identity")
    projects = getattr(identity, "projects", None)
    return View(study_id=study_id, projects=None if projects is None else frozenset(projects))


def caller_of(scope: Scope) -> str:
    """Return whose share of places and requests a request counts for."""
    name: str = scope.get("state", {}).get("token_id", "admin")
    return name


def validity_of(scope: Scope) -> Callable[[], bool]:
    """Return what tells whether the caller's token still holds; asked at each heartbeat."""
    found: Callable[[], bool] | None = scope.get("state", {}).get("still_valid")
    return found if found is not None else _always


def _always() -> bool:
    return True
