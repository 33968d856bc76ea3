"""Examples of what people do by hand, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

_VIEW = {
    "id": "v_0f3a9c1d7b24e685",
    "name": "mine, running",
    "query": "owner=ann&state=running",
    "project": None,
    "created_by": "ann",
    "created_at": "2026-11-21T07:00:00Z",
}
_REMARK = {
    "text": "the one for the paper",
    "tags": ["paper"],
    "pinned": True,
    "by": "ann",
    "at": "2026-11-21T07:00:00Z",
    "version": "5f0c2a9b7d31e846",
}
REQUESTS: dict[str, Any] = {
    "stop_trial": {"why": "it learns nothing"},
    "cut_rate": {"factor": 0.5, "why": "the loss jumps"},
    "change_remark": {"text": "the one for the paper", "tags": ["paper"], "pinned": True},
    "change_trial_remark": {"text": "look at its gradients", "tags": ["odd"]},
    "save_view": {"name": "mine, running", "query": "owner=ann&state=running"},
}
REPLIES: dict[str, Any] = {
    "get_remark": _REMARK,
    "change_remark": _REMARK,
    "get_trial_remark": _REMARK | {"pinned": False},
    "change_trial_remark": _REMARK | {"pinned": False},
    "list_views": {"items": [_VIEW]},
    "save_view": _VIEW,
    "remove_view": _VIEW,
}
