"""Views of the dashboard that people keep under a name, shared within a project."""

from __future__ import annotations

import secrets
from datetime import datetime

from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import Identity
from tuner.errors import Conflict, NotAllowed, NotFound
from tuner.remark import SavedView
from tuner.wire.actions import SaveView, ViewPage, ViewShown

MOST = 200
"""Saved views of one project."""


def page(reader: Reader, who: Identity) -> ViewPage:
    """Show the views that the caller may see: its project's, or with no project all of them."""
    return ViewPage(items=[shown(v) for v in reader.saved_views() if _sees(who, v)])


def save(tx: Transaction, wish: SaveView, who: Identity, now: datetime) -> SavedView:
    """Save a view, or replace the one of this name in its project.

    Raises:
        Conflict: the project has as many as it may.
        NotAllowed: it is for a project that is not the token's.
    """
    project = wish.project if who.project is None else who.project
    if wish.project not in (None, project):
        raise NotAllowed(f"this token saves views for the project {who.project!r} only")
    own = [v for v in tx.saved_views() if v.project == project]
    old = next((v for v in own if v.name == wish.name), None)
    if old is None and len(own) >= MOST:
        raise Conflict(f"there are {MOST} saved views: remove one first")
    view = SavedView(
        view_id=f"v_{secrets.token_hex(8)}" if old is None else old.view_id,
        name=wish.name,
        query=wish.query,
        project=project,
        created_by=who.name,
        created_at=now if old is None else old.created_at,
    )
    tx.put_view(view)
    return view


def remove(tx: Transaction, view_id: str, who: Identity) -> SavedView:
    """Remove a saved view. Raises NotFound."""
    for view in tx.saved_views():
        if view.view_id == view_id and _sees(who, view):
            tx.drop_view(view_id)
            return view
    raise NotFound(f"no saved view has the id {view_id}")


def shown(view: SavedView) -> ViewShown:
    """Show a saved view."""
    return ViewShown(
        id=view.view_id,
        name=view.name,
        query=view.query,
        project=view.project,
        created_by=view.created_by,
        created_at=view.created_at,
    )


def _sees(who: Identity, view: SavedView) -> bool:
    return who.project is None or view.project == who.project
